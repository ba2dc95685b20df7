package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWithoutPath(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "hunter22")
	_, opened := os.Open(missing)
	for _, err := range []error{opened, fmt.Errorf("opening it: %w", opened), os.Rename(missing, missing+"-old"), os.Remove(missing)} {
		got := WithoutPath(err)
		if !errors.Is(got, fs.ErrNotExist) || strings.Contains(got.Error(), "hunter22") {
			t.Errorf("%v becomes %v", err, got)
		}
	}
	other := errors.New("something else")
	if got := WithoutPath(other); got != other {
		t.Errorf("%v becomes %v", other, got)
	}
	if got := WithoutPath(nil); got != nil {
		t.Errorf("nothing becomes %v", got)
	}
}
