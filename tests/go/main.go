// A static Go program that knows no proxy, for the tests of the transparent mode: Go's own
// resolver (CGO_ENABLED=0), Go's own dialler, and an HTTP client that is told to use no proxy.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
)

const usage = `no-proxy get URL [ANCHOR.pem]    prints the body
no-proxy dial NETWORK ADDRESS    asks for / without HTTP's help, prints what comes back
no-proxy lookup udp|tcp NAME     prints the name's addresses, and what was asked for them
no-proxy burst COUNT DOMAIN      looks up that many names below the domain at once, prints how many queries that took
no-proxy text NAME               prints the name's TXT records
no-proxy reverse ADDRESS         prints the address's names`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(words []string) error {
	ctx := context.Background()
	resolver := &net.Resolver{PreferGo: true}
	switch {
	case len(words) == 2 && words[0] == "get":
		return get(words[1], nil)
	case len(words) == 3 && words[0] == "get":
		anchor, err := os.ReadFile(words[2])
		if err != nil {
			return err
		}
		return get(words[1], anchor)
	case len(words) == 3 && words[0] == "dial":
		return dial(words[1], words[2])
	case len(words) == 3 && words[0] == "lookup":
		return lookup(words[1], words[2])
	case len(words) == 3 && words[0] == "burst":
		count, err := strconv.Atoi(words[1])
		if err != nil {
			return err
		}
		return burst(count, words[2])
	case len(words) == 2 && words[0] == "text":
		return printed(resolver.LookupTXT(ctx, words[1]))
	case len(words) == 2 && words[0] == "reverse":
		return printed(resolver.LookupAddr(ctx, words[1]))
	}
	return errors.New(usage)
}

// Twice, as a service does: the second request may take a connection that is still open.
func get(url string, anchor []byte) error {
	anchors := x509.NewCertPool()
	anchors.AppendCertsFromPEM(anchor)
	client := http.Client{Transport: &http.Transport{
		Proxy:             nil,
		TLSClientConfig:   &tls.Config{RootCAs: anchors},
		ForceAttemptHTTP2: true,
	}}
	for range 2 {
		reply, err := client.Get(url)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(reply.Body)
		reply.Body.Close()
		if err != nil {
			return err
		}
		fmt.Println(reply.StatusCode, string(body))
	}
	return nil
}

func dial(network, address string) error {
	conn, err := net.Dial(network, address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET / HTTP/1.0\r\n\r\n")); err != nil {
		return err
	}
	if _, ok := conn.(net.PacketConn); ok {
		// A datagram has no end: one is enough.
		_, err = conn.Read(make([]byte, 1))
		return err
	}
	_, err = io.Copy(os.Stdout, conn)
	return err
}

// Prints each query as it left: a resolver that answers late, or not what was asked, is asked again.
func lookup(network, name string) error {
	var book queries
	addresses, err := book.resolver(network).LookupHost(context.Background(), name)
	// Both families are asked for at once, in any order.
	slices.Sort(book.lines)
	for _, query := range book.lines {
		fmt.Println(query)
	}
	if err != nil {
		return err
	}
	return printed(addresses, nil)
}

func burst(count int, domain string) error {
	var book queries
	resolver := book.resolver("udp")
	failed := make(chan error, count)
	var all sync.WaitGroup
	for number := range count {
		all.Go(func() {
			addresses, err := resolver.LookupHost(context.Background(), fmt.Sprintf("n%d.%s", number, domain))
			if err == nil && len(addresses) != 2 {
				err = fmt.Errorf("other addresses than one of each family: %v", addresses)
			}
			failed <- err
		})
	}
	all.Wait()
	close(failed)
	for err := range failed {
		if err != nil {
			return err
		}
	}
	fmt.Println(len(book.lines))
	return nil
}

func printed(lines []string, err error) error {
	slices.Sort(lines)
	for _, line := range lines {
		fmt.Println(line)
	}
	return err
}

type queries struct {
	lock  sync.Mutex
	lines []string
}

// Go's own resolver; each query that it sends is written down.
func (book *queries) resolver(network string) *net.Resolver {
	return &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, _, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			if datagrams, ok := conn.(*net.UDPConn); ok {
				return &askedByDatagram{datagrams, book}, nil
			}
			return &askedByStream{conn, book}, nil
		},
	}
}

// The resolver speaks in datagrams to what is a net.PacketConn, and in a stream to all else.
type askedByDatagram struct {
	*net.UDPConn
	book *queries
}

type askedByStream struct {
	net.Conn
	book *queries
}

func (asked *askedByDatagram) Write(query []byte) (int, error) {
	asked.book.add("udp", query)
	return asked.UDPConn.Write(query)
}

func (asked *askedByStream) Write(query []byte) (int, error) {
	// After the length (RFC 1035 section 4.2.2).
	asked.book.add("tcp", query[2:])
	return asked.Conn.Write(query)
}

// The name, the type of record and how many additional records (EDNS0's is one) a query has.
func (book *queries) add(network string, query []byte) {
	const header = 12
	name, at := "", header
	for query[at] != 0 {
		next := at + 1 + int(query[at])
		name += string(query[at+1:next]) + "."
		at = next
	}
	kind := binary.BigEndian.Uint16(query[at+1:])
	additional := binary.BigEndian.Uint16(query[header-2:])
	book.lock.Lock()
	defer book.lock.Unlock()
	line := fmt.Sprintf("%s %s type %d, additional %d", network, name, kind, additional)
	book.lines = append(book.lines, line)
}
