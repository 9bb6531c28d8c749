// Echo in Go, a goroutine a connection; and the handlers of `busy` and `http`.
// SPDX-License-Identifier: MIT
package main

import (
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"
)

func echo(client net.Conn) {
	defer client.Close()
	buffer := make([]byte, 16384)
	for {
		size, err := client.Read(buffer)
		if err != nil {
			return
		}
		if _, err := client.Write(buffer[:size]); err != nil {
			return
		}
	}
}

// Sleeps between reading a message and answering it.
func withTimer(client net.Conn) {
	defer client.Close()
	message := make([]byte, 64)
	for {
		size, err := client.Read(message)
		if err != nil {
			return
		}
		time.Sleep(time.Millisecond)
		if _, err := client.Write(message[:size]); err != nil {
			return
		}
	}
}

// Hands each message to another goroutine through one queue and awaits its answer from another.
func withQueue(client net.Conn) {
	defer client.Close()
	jobs, results := make(chan int, 1), make(chan int, 1)
	defer close(jobs)
	go func() {
		for size := range jobs {
			results <- size
		}
	}()
	message := make([]byte, 64)
	for {
		size, err := client.Read(message)
		if err != nil {
			return
		}
		jobs <- size
		if _, err := client.Write(message[:<-results]); err != nil {
			return
		}
	}
}

func main() {
	path := flag.String("unix", "", "")
	mode := flag.String("mode", "echo", "")
	port := flag.String("port", "0", "")
	flag.String("selector", "", "")
	flag.Parse()
	family, address := "tcp4", "127.0.0.1:"+*port
	if *path != "" {
		family, address = "unix", *path
	}
	listener, err := net.Listen(family, address)
	if err != nil {
		panic(err)
	}
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	go func() {
		<-interrupts
		os.Exit(0)
	}()
	fmt.Println("listening on", listener.Addr())
	if *mode == "http" {
		http.HandleFunc("/", func(writer http.ResponseWriter, request *http.Request) {
			fmt.Fprint(writer, "hello\n")
		})
		http.Serve(listener, nil)
	}
	handler := map[string]func(net.Conn){"echo": echo, "timer": withTimer, "queue": withQueue}[*mode]
	for {
		client, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		go handler(client)
	}
}
