// A mail server that keeps what it gets in memory, with the ports, the probes and the list of Mailpit
// (GET /api/v1/messages): its image cannot be had where no image registry is reached.
package main

import (
	"bufio"
	"encoding/json"
	"log"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"sync"
	"time"
)

type message struct {
	MessageID string
	Subject   string
	To        []address
}

type address struct{ Address string }

var (
	mutex    sync.Mutex
	messages = []message{}
)

func main() {
	go serveMail()
	ok := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }
	http.HandleFunc("GET /livez", ok)
	http.HandleFunc("GET /readyz", ok)
	http.HandleFunc("GET /api/v1/messages", func(w http.ResponseWriter, _ *http.Request) {
		mutex.Lock()
		defer mutex.Unlock()
		w.Header().Set("content-type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"total": len(messages), "messages": messages})
	})
	log.Fatal(http.ListenAndServe(":8025", nil))
}

func serveMail() {
	listener, err := net.Listen("tcp", ":1025")
	if err != nil {
		log.Fatal(err)
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go receive(connection)
	}
}

// One connection, as RFC 5321 has it, without any extension.
func receive(connection net.Conn) {
	defer connection.Close()
	text := textproto.NewConn(connection)
	say := func(line string) bool { return text.PrintfLine("%s", line) == nil }
	if !say("220 mail ESMTP") {
		return
	}
	var to []address
	for {
		_ = connection.SetDeadline(time.Now().Add(5 * time.Minute))
		line, err := text.ReadLine()
		if err != nil {
			return
		}
		switch verb := strings.ToUpper(line); {
		case strings.HasPrefix(verb, "EHLO"), strings.HasPrefix(verb, "HELO"):
			say("250 mail")
		case strings.HasPrefix(verb, "MAIL FROM"):
			to = nil
			say("250 OK")
		case strings.HasPrefix(verb, "RCPT TO"):
			recipient, _, _ := strings.Cut(strings.TrimPrefix(line[len("RCPT TO:"):], "<"), ">")
			to = append(to, address{strings.TrimSpace(recipient)})
			say("250 OK")
		case verb == "DATA":
			say("354 Go ahead")
			body, err := text.ReadDotBytes()
			if err != nil {
				return
			}
			header, _ := textproto.NewReader(bufio.NewReader(strings.NewReader(string(body)))).ReadMIMEHeader()
			mutex.Lock()
			messages = append(messages, message{header.Get("Message-Id"), header.Get("Subject"), to})
			mutex.Unlock()
			say("250 OK")
		case verb == "RSET", verb == "NOOP":
			say("250 OK")
		case verb == "QUIT":
			say("221 Bye")
			return
		default:
			say("502 Not here")
		}
	}
}
