// Asks at a constant rate, whatever the server does, and says how long answers took from when they were due to be asked for.
//
// usage: open-loop HOST PORT RATE SECONDS CONNECTIONS KEYS
//
// wrk sends the next request when the last is answered: while a server stands still, it asks nothing, and one slow answer stands for
// the many that would have been (coordinated omission). h2load --rps keeps a rate, but counts from when a connection got free.
// Here request n is due n/RATE seconds after the start, and waits, while its time runs, when all connections are busy.
// Asks in turn for /users/1 to /users/KEYS. It never sleeps: give it a core. Prints "figures", requests a second, the 50th, 99th
// and 99.9th percentile in microseconds, and errors.

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct connection {
    int socket;
    int busy;
    int64_t due;        // of the request that it waits for
    size_t got;         // bytes of its answer
    size_t whole;       // how many that will be; 0 while its head is not whole
    char head[8192];
};

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void give_up(const char *what) {
    fprintf(stderr, "open-loop: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void open_connection(struct connection *connection, const struct sockaddr_in *address, int poll) {
    int yes = 1;
    connection->socket = socket(AF_INET, SOCK_STREAM, 0);
    if (connection->socket < 0 || connect(connection->socket, (const struct sockaddr *)address, sizeof *address) < 0)
        give_up("connect");
    setsockopt(connection->socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    fcntl(connection->socket, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    epoll_ctl(poll, EPOLL_CTL_ADD, connection->socket, &event);
}

// What came: 1 for the end of the answer, 0 for a part of it, -1 for what is none.
static int take(struct connection *connection) {
    static char rest[65536];
    for (;;) {
        size_t room = connection->whole ? sizeof rest : sizeof connection->head - 1 - connection->got;
        char *place = connection->whole ? rest : connection->head + connection->got;
        ssize_t count = read(connection->socket, place, room);
        if (count < 0) return errno == EAGAIN ? 0 : -1;
        if (count == 0) return -1;
        connection->got += (size_t)count;
        if (connection->whole == 0) {
            connection->head[connection->got] = 0;
            char *end = strstr(connection->head, "\r\n\r\n");
            if (end == NULL) {
                if (connection->got == sizeof connection->head - 1) return -1;
                continue;
            }
            char *length = strcasestr(connection->head, "\r\ncontent-length:");
            if (strncmp(connection->head, "HTTP/1.1 200", 12) != 0 || length == NULL || length > end) return -1;
            connection->whole = (size_t)(end + 4 - connection->head) + strtoul(length + 17, NULL, 10);
        }
        if (connection->got == connection->whole) return 1;
        if (connection->got > connection->whole) return -1;
    }
}

int main(int count, char **arguments) {
    if (count != 7) {
        fprintf(stderr, "usage: open-loop HOST PORT RATE SECONDS CONNECTIONS KEYS\n");
        return 64;
    }
    const char *host = arguments[1], *port = arguments[2];
    double rate = atof(arguments[3]);
    size_t wanted = (size_t)(rate * atof(arguments[4]));
    int connections = atoi(arguments[5]);
    size_t keys = (size_t)atol(arguments[6]);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    if (wanted == 0 || connections < 1 || keys == 0 || inet_pton(AF_INET, host, &address.sin_addr) != 1) {
        fprintf(stderr, "open-loop: RATE, SECONDS, CONNECTIONS and KEYS must be positive, HOST an IPv4 address\n");
        return 64;
    }

    char **requests = calloc(keys, sizeof *requests);
    int *lengths = calloc(keys, sizeof *lengths);
    for (size_t key = 0; key < keys; key++) {
        lengths[key] = asprintf(&requests[key], "GET /users/%zu HTTP/1.1\r\nHost: %s:%s\r\n\r\n", key + 1, host, port);
        if (lengths[key] < 0) give_up("memory");
    }
    int poll = epoll_create1(0);
    struct connection *all = calloc((size_t)connections, sizeof *all);
    struct connection **idle = calloc((size_t)connections, sizeof *idle);
    struct epoll_event *events = calloc((size_t)connections, sizeof *events);
    uint32_t *times = calloc(wanted, sizeof *times);
    // A ring: they take turns.
    size_t freed = 0, used = 0;
    signal(SIGPIPE, SIG_IGN);
    for (int number = 0; number < connections; number++) {
        open_connection(&all[number], &address, poll);
        idle[freed++] = &all[number];
    }

    double apart = 1e9 / rate;
    size_t sent = 0, done = 0, errors = 0;
    int64_t start = now(), time = start;
    int64_t last = start + (int64_t)(apart * (double)wanted) + 30000000000LL;
    while (done < wanted && time < last) {
        time = now();
        while (sent < wanted && used < freed) {
            int64_t due = start + (int64_t)(apart * (double)sent);
            if (due > time) break;
            struct connection *connection = idle[used++ % (size_t)connections];
            connection->busy = 1;
            connection->due = due;
            connection->got = connection->whole = 0;
            size_t key = sent++ % keys;
            // A request is short: it fits, or the connection is broken, which reading finds.
            (void)!write(connection->socket, requests[key], (size_t)lengths[key]);
        }
        int ready = epoll_wait(poll, events, connections, 0);
        for (int number = 0; number < ready; number++) {
            struct connection *connection = events[number].data.ptr;
            int outcome = take(connection);
            if (outcome == 0) continue;
            if (outcome < 0) {
                close(connection->socket);
                open_connection(connection, &address, poll);
                // Closing one that nothing was asked on is the server's right.
                if (!connection->busy) continue;
                errors++;
            }
            int64_t took = (now() - connection->due) / 1000;
            times[done++] = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
            connection->busy = 0;
            idle[freed++ % (size_t)connections] = connection;
        }
    }
    // What was not answered in the end counts as slow as it has been so far.
    errors += wanted - done;
    double seconds = (double)(now() - start) / 1e9;
    size_t answered = done;
    while (done < wanted) times[done++] = UINT32_MAX;
    qsort(times, wanted, sizeof *times, compare);
    printf("figures %f %u %u %u %zu\n", (double)answered / seconds, times[wanted / 2], times[(size_t)((double)wanted * 0.99)],
        times[(size_t)((double)wanted * 0.999)], errors);
    return 0;
}
