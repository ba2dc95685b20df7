// Package lossy is a file system that forgets at a power cut whatever was not synced, for tests of what a program calls
// durable. It is stricter than any real disk: a file's bytes survive by fsync of the file, and its name by fsync of the
// folder that the name is in. It lives in memory, is for Linux alone, and must not hold anything but a test's folders.
package lossy
