// FerretDB, embedded: the MongoDB wire protocol in front of PostgreSQL with DocumentDB.
//
// Usage: ferretdb -listen 127.0.0.1:27017 -postgresql postgres://postgres@127.0.0.1:5432/postgres -state DIR
package main

import (
	"context"
	"flag"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/FerretDB/FerretDB/v2/ferretdb"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:27017", "host:port for MongoDB clients")
	postgresql := flag.String("postgresql", "", "URL of a PostgreSQL with the documentdb extension")
	state := flag.String("state", "", "folder for the instance's state")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	db, err := ferretdb.New(&ferretdb.Config{
		PostgreSQLURL: *postgresql,
		ListenAddr:    *listen,
		StateDir:      *state,
		LogLevel:      slog.LevelWarn,
		LogOutput:     os.Stderr,
		Telemetry:     new(bool),
	})
	if err != nil {
		log.Fatal(err)
	}
	db.Run(ctx)
}
