//go:build !unix

package seal

import "io/fs"

// checkAccess passes every file: mode bits mean nothing here, and the server runs on Linux.
func checkAccess(string, fs.FileInfo, string) error { return nil }
