package server

import (
	"os"
	"testing"

	"github.com/strongroom/strongroom/test/kit"
)

func TestMain(m *testing.M) { os.Exit(kit.Main(m)) }
