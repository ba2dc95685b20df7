package cli

import (
	"net"
	"os"
	"time"
)

// NotifyReady tells systemd (sd_notify(3), Type=notify) that the daemon serves,
// with a status line. Without systemd it does nothing.
func NotifyReady(status string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	conn, err := net.DialTimeout("unixgram", path, 2*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Write([]byte("READY=1\nSTATUS=" + status))
	return err
}
