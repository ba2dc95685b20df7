//go:build !unix

package store

import (
	"os"
	"time"
)

// initialMap is zero because on Windows the file itself would become that long.
const initialMap = 0

// lock leaves locking to bbolt: the server runs on Linux, elsewhere this package only has to compile.
func lock(*os.File, time.Duration) error { return nil }

func unlock(*os.File) error { return nil }
