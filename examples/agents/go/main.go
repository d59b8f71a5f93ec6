// A worker that callers send tasks to over HTTP. It loses none when its instance is terminated.
//
// A task is a batch of events for a webhook: {"id": "a", "url": "http://…", "items": [1, 2, 3]}. Each item is one POST.
// The worker responds when the task is done. Put your own work into deliver and work, and keep the rest.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"drainhook.example/worker/drain"
)

var (
	port      = setting("PORT", 8000)
	agentPort = setting("AGENT_PORT", 8080)
	// The time limit for delivering an item.
	deliveryLimit = seconds("DELIVERY_SECONDS", 10)
	// How long before the deadline the worker stops starting items.
	checkpointMargin = seconds("CHECKPOINT_SECONDS", 15)
	// The longest drain on SIGTERM; systemd's TimeoutStopSec must be longer.
	stopLimit = seconds("STOP_SECONDS", 60)
)

func setting(name string, standard int) int {
	text, ok := os.LookupEnv(name)
	if !ok {
		return standard
	}
	value, err := strconv.Atoi(text)
	if err != nil {
		log.Fatalf("%s is %q, which is not a valid value", name, text)
	}
	return value
}

func seconds(name string, standard int) time.Duration {
	return time.Duration(setting(name, standard)) * time.Second
}

type task struct {
	ID        string            `json:"id"`
	URL       string            `json:"url"`
	Items     []json.RawMessage `json:"items"`
	Delivered int               `json:"delivered"`
}

// outcome is how a task ended. Its name is a gauge of the status document.
type outcome string

const (
	done      outcome = "tasks_done"
	givenBack outcome = "tasks_given_back"
	failed    outcome = "tasks_failed"
)

var statuses = map[outcome]int{
	done:      http.StatusOK,
	givenBack: http.StatusServiceUnavailable,
	failed:    http.StatusInternalServerError,
}

type worker struct {
	drain drain.Drain
}

// deliver is one step of a task. A caller may repeat it after a crash, so the receiver gets a key to recognize it.
func deliver(url string, item []byte, key string) error {
	limited, cancel := context.WithTimeout(context.Background(), deliveryLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(limited, http.MethodPost, url, bytes.NewReader(item))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("%s responded with %s", url, response.Status)
	}
	return nil
}

// work delivers the items that are not delivered yet. It stops early if there is not enough time.
func (w *worker) work(t *task) outcome {
	for t.Delivered < len(t.Items) {
		if w.drain.TimeLeft() < checkpointMargin {
			return givenBack
		}
		key := fmt.Sprintf("%s/%d", t.ID, t.Delivered)
		if err := deliver(t.URL, t.Items[t.Delivered], key); err != nil {
			log.Printf("task %s failed: %v", t.ID, err)
			return failed
		}
		t.Delivered++
	}
	return done
}

// handle does one task. It responds how many items are delivered, so that the caller can send the rest elsewhere.
func (w *worker) handle(response http.ResponseWriter, request *http.Request) {
	if request.Method != http.MethodPost {
		http.Error(response, "use POST", http.StatusMethodNotAllowed)
		return
	}
	if !w.drain.Hold() {
		response.Header().Set("Connection", "close")
		answer(response, http.StatusServiceUnavailable, 0)
		return
	}
	ended := failed
	defer func() { w.drain.Release(string(ended)) }() // last, because it may end the drain
	var t task
	if err := json.NewDecoder(request.Body).Decode(&t); err != nil {
		log.Printf("cannot read a task: %v", err)
	} else {
		ended = w.work(&t)
	}
	answer(response, statuses[ended], t.Delivered)
}

func answer(response http.ResponseWriter, status, delivered int) {
	drain.Answer(response, status, map[string]int{"delivered": delivered})
}

// health is for the load balancer: it sends no new tasks during a drain.
func (w *worker) health(response http.ResponseWriter, _ *http.Request) {
	status := http.StatusOK
	if !w.drain.IsServing() {
		status = http.StatusServiceUnavailable
	}
	drain.Answer(response, status, map[string]bool{"healthy": status == http.StatusOK})
}

// serve serves in a goroutine of its own. It returns the server and its port.
func serve(host string, port int, handler http.Handler) (*http.Server, int) {
	listener, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	go func() {
		if err := server.Serve(listener); err != http.ErrServerClosed {
			log.Fatal(err)
		}
	}()
	return server, listener.Addr().(*net.TCPAddr).Port
}

func main() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)

	w := &worker{}
	routes := http.NewServeMux()
	routes.HandleFunc("/tasks", w.handle)
	routes.HandleFunc("/health", w.health)
	tasks, bound := serve("", port, routes)
	log.Printf("taking tasks on port %d", bound)
	agent, bound := serve("127.0.0.1", agentPort, &w.drain)
	log.Printf("listening on http://127.0.0.1:%d", bound)

	<-signals
	log.Printf("stopping within %s", stopLimit)
	w.drain.Stop(stopLimit)
	// Shutdown waits until the last responses are written.
	for _, server := range []*http.Server{tasks, agent} {
		if err := server.Shutdown(context.Background()); err != nil {
			log.Print(err)
		}
	}
}
