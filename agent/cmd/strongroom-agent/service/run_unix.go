//go:build unix

package service

import "context"

func run(ctx context.Context, serve func(context.Context) error) error { return serve(ctx) }
