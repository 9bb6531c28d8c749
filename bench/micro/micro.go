// The question `micro` for Go: one operation, named on the command line. It prints JSON.
// SPDX-License-Identifier: MIT
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const far = time.Hour

func cpu() time.Duration {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func resident() float64 {
	status, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(status), "\n") {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "RssAnon:" {
			kilobytes, _ := strconv.ParseFloat(fields[1], 64)
			return kilobytes * 1024
		}
	}
	return 0
}

func spawn(n int) {
	for i := 0; i < n; i++ {
		go func() {}()
		if i%1000 == 999 {
			runtime.Gosched()
		}
	}
}

func spawnJoin(n int) {
	var group sync.WaitGroup
	for i := 0; i < n; i++ {
		group.Add(1)
		go group.Done()
		group.Wait()
	}
}

func yield(n int) {
	done := make(chan struct{})
	go func() {
		for i := 0; i < n/2; i++ {
			runtime.Gosched()
		}
		close(done)
	}()
	for i := 0; i < n/2; i++ {
		runtime.Gosched()
	}
	<-done
}

func queue(n int) {
	items, done := make(chan int, 1), make(chan struct{})
	go func() {
		for range items {
		}
		close(done)
	}()
	for i := 0; i < n; i++ {
		items <- i
	}
	close(items)
	<-done
}

func lock(n int) {
	var mutex sync.Mutex
	for i := 0; i < n; i++ {
		mutex.Lock()
		mutex.Unlock()
	}
}

func timer(n int) {
	for i := 0; i < n; i++ {
		time.AfterFunc(far, func() {}).Stop()
	}
}

func sleeps(n int) float64 {
	before := resident()
	start := time.Now()
	asleep := 5 * time.Microsecond * time.Duration(n)
	var group sync.WaitGroup
	for i := 0; i < n; i++ {
		group.Add(1)
		until := start.Add(asleep + time.Duration(uint32(i)*2654435761%1_000_000_000))
		go func() {
			time.Sleep(time.Until(until))
			group.Done()
		}()
	}
	runtime.Gosched()
	bytes := (resident() - before) / float64(n)
	group.Wait()
	return bytes
}

var no = errors.New("no")

//go:noinline
func fail(frames int) {
	if frames == 1 {
		panic(no)
	}
	fail(frames - 1)
}

func exception(n int) {
	for i := 0; i < n; i++ {
		func() {
			defer func() { recover() }()
			fail(3)
		}()
	}
}

func cancel(n int) {
	var group sync.WaitGroup
	for i := 0; i < n; i++ {
		ctx, stop := context.WithCancel(context.Background())
		group.Add(1)
		go func() {
			<-ctx.Done()
			group.Done()
		}()
		runtime.Gosched()
		stop()
		group.Wait()
	}
}

func main() {
	operations := map[string]func(int){"spawn": spawn, "spawn_join": spawnJoin, "yield": yield, "queue": queue,
		"lock": lock, "timer": timer, "exception": exception, "cancel": cancel}
	if os.Args[1] == "list" {
		fmt.Println("spawn spawn_join yield queue lock timer sleeps exception cancel")
		return
	}
	least, _ := strconv.ParseFloat(os.Args[2], 64) // seconds
	if os.Args[1] == "sleeps" {
		tasks, err := strconv.Atoi(os.Getenv("HEDDLE_BENCH_TASKS"))
		if err != nil {
			tasks = 1_000_000
		}
		before := cpu()
		bytes := sleeps(tasks)
		fmt.Printf("{\"ns\": %f, \"bytes\": %f}\n", float64(cpu()-before)/float64(tasks), bytes)
		return
	}
	for n := 1000; ; n *= 4 {
		before := cpu()
		operations[os.Args[1]](n)
		if spent := cpu() - before; spent.Seconds() >= least {
			fmt.Printf("{\"ns\": %f}\n", float64(spent)/float64(n))
			return
		}
	}
}
