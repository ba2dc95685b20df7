package deliver

import "io/fs"

// trusted takes the job's word for it: who may write is said by access lists, which most folders have from above.
func (f *File) trusted() error { return nil }

func another(fs.FileInfo) bool { return false }
