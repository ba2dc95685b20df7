//go:build unix

package service

import "context"

// Run calls serve. The service manager ends it by a signal.
func Run(ctx context.Context, serve func(context.Context) error) error { return serve(ctx) }
