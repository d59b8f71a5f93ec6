// Package drain implements the agent protocol of drainhook: it counts a program's work in flight, and serves its state over
// HTTP.
//
// Copy this folder; it needs only the standard library. docs/agent-protocol.md says what drainhook does with each response.
package drain

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math"
	"net/http"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	waitMax   = 60 // seconds
	bodyMax   = 64 * 1024
	serving   = "serving"
	draining  = "draining"
	drained   = "drained"
	noTimeout = time.Duration(math.MaxInt64)
)

var preferWait = regexp.MustCompile(`(?:^|,)\s*wait=(\d+)`)

// Drain knows whether work may be taken, and how much is in flight. Every method may be called from any goroutine. Its zero
// value serves.
type Drain struct {
	mutex    sync.Mutex
	changed  chan struct{} // closed at the next change; nil if no goroutine waits
	asked    bool
	deadline time.Time // zero without one
	stopping bool
	stopBy   time.Time
	inFlight int
	gauges   map[string]int
}

// Status is the status document.
type Status struct {
	State    string         `json:"state"`
	InFlight int            `json:"in_flight"`
	Gauges   map[string]int `json:"gauges"`
}

// Hold counts a piece of work as in flight. It returns false during a drain: refuse the work. Otherwise, call Release when
// nothing is left to do.
func (d *Drain) Hold() bool {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if d.state() != serving {
		return false
	}
	d.inFlight++
	return true
}

// Release ends a piece of work, and counts it in the gauge of that name, such as "tasks_done".
func (d *Drain) Release(outcome string) {
	d.change(func() {
		d.inFlight--
		if d.gauges == nil {
			d.gauges = map[string]int{}
		}
		d.gauges[outcome]++
	})
}

// TimeLeft is the time until the deadline, or the longest duration without one.
func (d *Drain) TimeLeft() time.Duration {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	left := noTimeout
	for _, end := range []time.Time{d.deadline, d.stopBy} {
		if !end.IsZero() && time.Until(end) < left {
			left = time.Until(end)
		}
	}
	return left
}

// IsServing says whether work may be taken.
func (d *Drain) IsServing() bool {
	return d.Status().State == serving
}

// Begin stops taking work. If called again, it replaces the deadline, which is zero for none.
func (d *Drain) Begin(deadline time.Time) {
	d.change(func() { d.asked, d.deadline = true, deadline })
}

// Withdraw takes work again. It returns false if the process is stopping, which cannot be withdrawn.
func (d *Drain) Withdraw() (withdrawn bool) {
	d.change(func() {
		d.asked, d.deadline = false, time.Time{}
		withdrawn = !d.stopping
	})
	return withdrawn
}

// Stop drains for good, and waits until no work is in flight.
func (d *Drain) Stop(limit time.Duration) {
	d.change(func() { d.stopping, d.stopBy = true, time.Now().Add(limit) })
	d.waitWhileDraining(nil)
}

// Status returns the status document.
func (d *Drain) Status() Status {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	gauges := map[string]int{}
	for name, count := range d.gauges {
		gauges[name] = count
	}
	return Status{d.state(), d.inFlight, gauges}
}

func (d *Drain) state() string {
	switch {
	case !d.asked && !d.stopping:
		return serving
	case d.inFlight > 0:
		return draining
	default:
		return drained
	}
}

func (d *Drain) change(apply func()) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	apply()
	if d.changed != nil {
		close(d.changed)
		d.changed = nil
	}
}

// waitWhileDraining returns once the drain is over, or when something arrives on the channel. It returns at once without a
// drain.
func (d *Drain) waitWhileDraining(giveUp <-chan time.Time) {
	for {
		d.mutex.Lock()
		if d.state() != draining {
			d.mutex.Unlock()
			return
		}
		if d.changed == nil {
			d.changed = make(chan struct{})
		}
		changed := d.changed
		d.mutex.Unlock()
		select {
		case <-changed:
		case <-giveUp:
			return
		}
	}
}

// ServeHTTP serves the agent protocol. Listen on loopback only.
func (d *Drain) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	routes := map[string]map[string]http.HandlerFunc{
		"/drain":  {http.MethodPost: d.post, http.MethodGet: d.get, http.MethodDelete: d.delete},
		"/health": {http.MethodGet: health},
	}
	methods, ok := routes[r.URL.Path]
	if !ok {
		fail(w, http.StatusNotFound, "unknown path "+r.URL.Path)
		return
	}
	handle, ok := methods[r.Method]
	if !ok {
		var allowed []string
		for method := range methods {
			allowed = append(allowed, method)
		}
		sort.Strings(allowed) // a map has no order
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		fail(w, http.StatusMethodNotAllowed, r.Method+" is not allowed")
		return
	}
	handle(w, r)
}

func (d *Drain) post(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyMax))
	if err != nil {
		fail(w, http.StatusRequestEntityTooLarge, err.Error())
		return
	}
	deadline, err := readDeadline(body)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	log.Printf("asked to drain: %s", body)
	d.Begin(deadline)
	Answer(w, http.StatusAccepted, d.Status())
}

// get holds the response during a drain if the request has `Prefer: wait=20`.
func (d *Drain) get(w http.ResponseWriter, r *http.Request) {
	if wait := preferWait.FindStringSubmatch(r.Header.Get("Prefer")); wait != nil && d.Status().State == draining {
		seconds, err := strconv.Atoi(wait[1])
		if err != nil || seconds > waitMax {
			seconds = waitMax
		}
		d.waitWhileDraining(time.After(time.Duration(seconds) * time.Second))
		w.Header().Set("Preference-Applied", fmt.Sprintf("wait=%d", seconds))
	}
	Answer(w, http.StatusOK, d.Status())
}

func (d *Drain) delete(w http.ResponseWriter, _ *http.Request) {
	if !d.Withdraw() {
		fail(w, http.StatusServiceUnavailable, "this process is stopping")
		return
	}
	Answer(w, http.StatusOK, d.Status())
}

func health(w http.ResponseWriter, _ *http.Request) {
	Answer(w, http.StatusOK, map[string]bool{"healthy": true})
}

// readDeadline returns the deadline of a drain request, or zero if it has none.
func readDeadline(body []byte) (time.Time, error) {
	var order struct {
		Deadline *time.Time `json:"deadline"` // RFC 3339
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return time.Time{}, nil
	}
	if err := json.Unmarshal(body, &order); err != nil {
		return time.Time{}, err
	}
	if order.Deadline == nil {
		return time.Time{}, nil
	}
	return *order.Deadline, nil
}

func fail(w http.ResponseWriter, status int, why string) {
	Answer(w, status, map[string]string{"error": why})
}

// Answer responds with a JSON document, and returns once it is sent.
func Answer(w http.ResponseWriter, status int, document any) {
	body, err := json.Marshal(document)
	if err != nil {
		panic(err) // the documents are our own types
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil {
		log.Printf("the client is gone: %v", err)
	}
	if flusher, ok := w.(http.Flusher); ok {
		flusher.Flush()
	}
}
