// An application as one writes it with franz-go and its defaults: an idempotent producer and a member of a consumer
// group, on one topic, until SIGTERM. A line for each event:
//
//	ack PARTITION OFFSET VALUE     a record was acknowledged
//	read PARTITION OFFSET VALUE    a record was consumed
//	error TEXT                     what the application would have to handle
//
// usage: franz-go-life BOOTSTRAP TOPIC RECORDS_PER_SECOND
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

var (
	mutex sync.Mutex
	out   = bufio.NewWriter(os.Stdout)
)

func say(format string, args ...any) {
	mutex.Lock()
	defer mutex.Unlock()
	fmt.Fprintf(out, format+"\n", args...)
	out.Flush()
}

func main() {
	servers, topic := strings.Split(os.Args[1], ","), os.Args[2]
	perSecond, err := strconv.Atoi(os.Args[3])
	if err != nil {
		panic(err)
	}
	producer, err := kgo.NewClient(kgo.SeedBrokers(servers...), kgo.DefaultProduceTopic(topic))
	if err != nil {
		panic(err)
	}
	consumer, err := kgo.NewClient(kgo.SeedBrokers(servers...), kgo.ConsumeTopics(topic),
		kgo.ConsumerGroup(topic+"-group"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		panic(err)
	}
	stopped, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go consume(stopped, consumer)
	produce(stopped, producer, perSecond)
	producer.Close()
	consumer.Close()
}

func produce(stopped context.Context, producer *kgo.Client, perSecond int) {
	ticker := time.NewTicker(time.Second / time.Duration(perSecond))
	defer ticker.Stop()
	// SIGUSR1 ends the load; reading goes on.
	enough := make(chan os.Signal, 1)
	signal.Notify(enough, syscall.SIGUSR1)
	for n := 0; ; n++ {
		select {
		case <-enough:
			if err := producer.Flush(stopped); err != nil {
				say("error flush: %v", err)
			}
			say("flushed")
			<-stopped.Done()
			return
		case <-stopped.Done():
			return
		case <-ticker.C:
		}
		record := kgo.StringRecord("franz-go." + strconv.Itoa(n))
		producer.Produce(stopped, record, func(r *kgo.Record, err error) {
			if err != nil {
				say("error produce: %v", err)
				return
			}
			say("ack %d %d %s", r.Partition, r.Offset, r.Value)
		})
	}
}

func consume(stopped context.Context, consumer *kgo.Client) {
	for {
		fetches := consumer.PollFetches(stopped)
		if stopped.Err() != nil {
			return
		}
		fetches.EachError(func(topic string, partition int32, err error) {
			say("error fetch of %s %d: %v", topic, partition, err)
		})
		fetches.EachRecord(func(r *kgo.Record) { say("read %d %d %s", r.Partition, r.Offset, r.Value) })
	}
}
