/* The load generator: thousands of clients in one thread, cheap enough not to be the limit.

   It opens sockets to 127.0.0.1, speaks the dialect of what is measured, answers heartbeats,
   acknowledges as a browser of ours would, checks that nothing is missing, and counts.

   What is sent has a mark in it, "@" nanoseconds "@" by the monotonic clock, which processes of
   one machine share: a mark is one delivery, and tells how long it took.

   bench/load.py builds and drives it: commands on stdin, one line of JSON for each on stdout.

       open N PENDING     open sockets until N are open, at most PENDING of them not yet live
       reset              forget what was counted
       wait COUNT MS      until so many marks have come since the reset, or the time is over
       rest MS            go on for so long
       close              close all; the cursors are kept, so that `open` resumes
       forget             drop the cursors: the next `open` begins anew
       port N             the server is at another port now
       dump FILE          write each mark, and the time at which it came
*/
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum dialect { OURS, PLAIN, SOCKETIO, SSE, POLL };
enum state { CLOSED, CONNECTING, ASKED, OPENED, LIVE };

#define STREAMS 8
#define SOURCE_PORTS 4000 /* sockets from each source address */

struct client {
    int fd, unacked;
    enum state state;
    char *rest;            /* the beginning of a frame whose end has not come */
    size_t rest_size;
    char *epoch;           /* of its cursor; NULL: it has none */
    char *name[STREAMS];   /* the streams in it */
    uint64_t began, due, newest;
    uint64_t stream[STREAMS], seq[STREAMS]; /* what it holds of each stream */
};

static enum dialect dialect;
static const char *path, *headers, *dump;
static int port, epoll, size, opened, live, pending, window = 64;
static char **cookies;
static int cookie_count;
static double period = 15;
static struct client *clients;

static uint64_t frames, marks, bytes_in, bytes_out, gaps, twice, resets, failed, closed, polls;
static uint64_t first_mark, last_mark, last_live, reset_at;
static double reset_cpu;
static uint32_t *took;
static uint64_t *signs, *arrivals;
static size_t took_size;

#define BUFFER (1 << 20)
static char buffer[BUFFER + 1];

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static double cpu(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void note(uint64_t sent_at) {
    uint64_t at = now();
    if (marks == took_size) {
        took_size = took_size ? took_size * 2 : 1 << 16;
        took = realloc(took, took_size * sizeof *took);
        signs = realloc(signs, took_size * sizeof *signs);
        arrivals = realloc(arrivals, took_size * sizeof *arrivals);
    }
    signs[marks] = sent_at, arrivals[marks] = at;
    took[marks++] = at > sent_at ? (at - sent_at) / 1000 : 0;
    if (!first_mark) first_mark = at;
    last_mark = at;
}

/* Count the marks in a text. With `newest`, only those that are newer than what was seen. */
static void count_marks(const char *text, size_t length, uint64_t *newest) {
    const char *end = text + length;
    uint64_t seen = newest ? *newest : 0;
    while ((text = memchr(text, '@', end - text))) {
        uint64_t at = 0;
        const char *digit = ++text;
        while (digit < end && *digit >= '0' && *digit <= '9') at = at * 10 + (*digit++ - '0');
        if (digit - text < 6 || digit == end || *digit != '@') continue;
        text = digit + 1;
        if (newest) {
            if (at <= seen) continue;
            if (at > *newest) *newest = at;
        }
        note(at);
    }
}

static void lose(struct client *c) {
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    if (c->state == LIVE) live--, closed++;
    else if (c->state != CLOSED) failed++, pending--;
    if (c->state != CLOSED) opened--;
    c->state = CLOSED;
    free(c->rest);
    c->rest = NULL, c->rest_size = 0;
}

static void go_live(struct client *c) {
    c->state = LIVE;
    live++, pending--;
    last_live = now();
}

static void put(struct client *c, const char *data, size_t length) {
    bytes_out += length;
    if (send(c->fd, data, length, MSG_NOSIGNAL) != (ssize_t)length) lose(c);
}

static void say(struct client *c, const char *text, int opcode) {
    /* Clients must mask; with a key of zeros the text stays as it is. */
    static char frame[8192];
    size_t length = strlen(text), head = 2;
    frame[0] = 0x80 | opcode;
    if (length < 126) frame[1] = 0x80 | length;
    else frame[1] = (char)(0x80 | 126), frame[2] = length >> 8, frame[3] = length, head = 4;
    memset(frame + head, 0, 4);
    memcpy(frame + head + 4, text, length);
    put(c, frame, head + 4 + length);
}

static void ask(struct client *c) {
    static char request[4096];
    const char *cookie = cookie_count ? cookies[(c - clients) % cookie_count] : NULL;
    const char *upgrade =
        dialect == POLL ? "" : dialect == SSE ? "Accept: text/event-stream\r\n" :
        "Upgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    int length = snprintf(request, sizeof request,
        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s%s%s%s%s\r\n", path, port, upgrade, headers,
        cookie ? "Cookie: " : "", cookie ? cookie : "", cookie ? "\r\n" : "");
    if (dialect != POLL) c->state = ASKED;
    put(c, request, length);
}

static void start(struct client *c) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in from = {.sin_family = AF_INET};
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = c};
    int one = 1;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + (c - clients) / SOURCE_PORTS);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) { perror("socket"); exit(1); }
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    bind(c->fd, (struct sockaddr *)&from, sizeof from);
    c->state = CONNECTING;
    c->unacked = 0;
    c->began = now();
    opened++, pending++;
    epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event);
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS) lose(c);
}

static uint64_t hash(const char *text, size_t length) {
    uint64_t h = 14695981039346656037ull;
    while (length--) h = (h ^ (unsigned char)*text++) * 1099511628211ull;
    return h ? h : 1;
}

static uint64_t *held(struct client *c, uint64_t stream) {
    for (int i = 0; i < STREAMS; i++) {
        if (!c->stream[i]) c->stream[i] = stream, c->seq[i] = 0;
        if (c->stream[i] == stream) return &c->seq[i];
    }
    fprintf(stderr, "more than %d streams\n", STREAMS);
    exit(1);
}

static void forget(struct client *c) {
    free(c->epoch);
    c->epoch = NULL;
    for (int i = 0; i < STREAMS; i++) free(c->name[i]), c->name[i] = NULL, c->stream[i] = 0;
}

/* The cursor of a `welcome` or `reset`: {"epoch":"k3","user":41,"everyone":7} */
static void adopt(struct client *c, const char *text) {
    const char *at = strstr(text, "\"cursor\":{"), *end;
    if (!at || !(end = strchr(at += 9, '}'))) return;
    forget(c);
    while (at < end) {
        const char *name = strchr(at, '"') + 1, *stop = strchr(name, '"');
        if (stop[2] == '"') {
            c->epoch = strndup(stop + 3, strchr(stop + 3, '"') - stop - 3);
        } else {
            uint64_t *mine = held(c, hash(name, stop - name));
            *mine = strtoull(stop + 2, NULL, 10);
            c->name[mine - c->seq] = strndup(name, stop - name);
        }
        for (at = stop + 2; at < end && *at != ','; at++);
        at++;
    }
}

static const char *cursor_of(struct client *c) {
    static char text[2048];
    if (!c->epoch) return "null";
    int length = snprintf(text, sizeof text, "{\"epoch\":\"%s\"", c->epoch);
    for (int i = 0; i < STREAMS && c->name[i]; i++)
        length += snprintf(text + length, sizeof text - length, ",\"%s\":%lu", c->name[i], c->seq[i]);
    snprintf(text + length, sizeof text - length, "}");
    return text;
}

/* {"type":"items","stream":"everyone","prev":6,"seq":7,"items":[...] */
static void check_order(struct client *c, const char *text) {
    const char *name = strstr(text, "\"stream\":\""), *stop, *at;
    if (!name || !(stop = strchr(name += 10, '"'))) return;
    uint64_t *mine = held(c, hash(name, stop - name)), prev, seq;
    if (!(at = strstr(stop, "\"prev\":"))) return;
    prev = strtoull(at + 7, NULL, 10);
    if (!(at = strstr(at, "\"seq\":"))) return;
    seq = strtoull(at + 6, NULL, 10);
    if (seq <= *mine) twice++;
    else if (prev != *mine) gaps++;
    *mine = seq;
}

static void heard(struct client *c, char *text, size_t length) {
    frames++;
    char end = text[length];
    text[length] = 0;
    if (dump) fprintf(stderr, "%s\n", text);
    switch (dialect) {
    case OURS:
        if (!strncmp(text, "{\"type\":\"items\"", 15)) {
            check_order(c, text);
            count_marks(text, length, NULL);
            if (++c->unacked >= window / 2) {
                c->unacked = 0;
                say(c, "{\"type\":\"ack\"}", 1);
            }
        } else if (!strncmp(text, "{\"type\":\"hb\"", 12)) {
            say(c, "{\"type\":\"ack\"}", 1);
        } else if (!strncmp(text, "{\"type\":\"welcome\"", 17)) {
            const char *at = strstr(text, "\"window\":");
            if (at) window = atoi(at + 9);
            if (!strstr(text, "\"mode\":\"resume\"")) adopt(c, text);
            if (c->state != LIVE) go_live(c);
        } else if (!strncmp(text, "{\"type\":\"reset\"", 15)) {
            resets++;
            adopt(c, text);
        }
        break;
    case SOCKETIO:
        if (text[0] == '2') say(c, "3", 1);
        else if (text[0] == '0') say(c, "40", 1);
        else if (!strncmp(text, "40", 2) && c->state != LIVE) go_live(c);
        else count_marks(text, length, NULL);
        break;
    default:
        count_marks(text, length, NULL);
    }
    if (c->fd >= 0) text[length] = end;
}

/* The bytes of whole frames that were taken from `data`. */
static size_t take_frames(struct client *c, char *data, size_t length) {
    size_t at = 0;
    while (c->fd >= 0 && length - at >= 2) {
        unsigned char *head = (unsigned char *)data + at;
        size_t size = head[1] & 127, skip = 2;
        if (size == 126) {
            if (length - at < 4) break;
            size = head[2] << 8 | head[3], skip = 4;
        } else if (size == 127) {
            if (length - at < 10) break;
            size = 0, skip = 10;
            for (int i = 2; i < 10; i++) size = size << 8 | head[i];
        }
        if (length - at < skip + size) break;
        int opcode = head[0] & 15;
        at += skip + size;
        if (opcode == 8) {
            if (dump) fprintf(stderr, "closed: %d\n", size > 1 ? head[skip] << 8 | head[skip + 1] : 0);
            lose(c);
        } else if (opcode == 9) {
            say(c, "", 10);
        } else if (opcode == 1 || opcode == 2) {
            heard(c, (char *)head + skip, size);
        }
    }
    return at;
}

/* A whole answer to a poll; 0 while it has not come. Only Content-Length is spoken. */
static size_t take_answer(struct client *c, char *data, size_t length) {
    char *body = memmem(data, length, "\r\n\r\n", 4), *at;
    if (!body) return 0;
    body += 4;
    *(body - 1) = 0;
    at = strcasestr(data, "content-length:");
    if (!at || strncmp(data, "HTTP/1.1 200", 12)) {
        fprintf(stderr, "a poll was answered with: %.300s\n", data);
        exit(1);
    }
    size_t size = strtoul(at + 15, NULL, 10);
    *(body - 1) = '\n';
    if ((size_t)(data + length - body) < size) return 0;
    polls++;
    if (!c->due) c->due = now() + (uint64_t)(period * 1e9 * (c - clients) / size);
    count_marks(body, size, &c->newest);
    if (c->state != LIVE) go_live(c);
    return body + size - data;
}

/* The bytes that need not be kept. */
static size_t take(struct client *c, char *data, size_t length) {
    if (dialect == POLL) return take_answer(c, data, length);
    size_t used = 0;
    if (c->state == ASKED) {
        char *end = memmem(data, length, "\r\n\r\n", 4);
        if (!end) return 0;
        const char *wanted = dialect == SSE ? "HTTP/1.1 200" : "HTTP/1.1 101";
        if (strncmp(data, wanted, 12)) {
            fprintf(stderr, "refused: %.200s\n", data);
            lose(c);
            return length;
        }
        used = end + 4 - data;
        c->state = OPENED;
        if (dialect == PLAIN || dialect == SSE) go_live(c);
        if (dialect == OURS) {
            static char hello[4096];
            snprintf(hello, sizeof hello,
                     "{\"type\":\"hello\",\"cursor\":%s,\"tab\":\"bench\",\"lang\":\"en\"}",
                     cursor_of(c));
            say(c, hello, 1);
        }
    }
    if (dialect == SSE) { /* up to the last line that is whole */
        char *end = memrchr(data + used, '\n', length - used);
        if (!end) return used;
        count_marks(data + used, end - data - used, NULL);
        return end + 1 - data;
    }
    return used + take_frames(c, data + used, length - used);
}

static void receive(struct client *c) {
    for (;;) {
        size_t before = c->rest_size;
        memcpy(buffer, c->rest, before);
        ssize_t got = recv(c->fd, buffer + before, BUFFER - before, 0);
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0) { lose(c); return; }
        bytes_in += got;
        size_t length = before + got, used = take(c, buffer, length);
        if (c->fd < 0) return;
        if (used < length) {
            c->rest = realloc(c->rest, length - used);
            memcpy(c->rest, buffer + used, length - used);
        } else {
            free(c->rest);
            c->rest = NULL;
        }
        c->rest_size = length - used;
        if (length < BUFFER) return;
    }
}

static void turn(int milliseconds) {
    struct epoll_event events[1024];
    int count = epoll_wait(epoll, events, 1024, milliseconds);
    for (int i = 0; i < count; i++) {
        struct client *c = events[i].data.ptr;
        if (c->fd < 0) continue;
        if (c->state == CONNECTING && events[i].events & EPOLLOUT) {
            struct epoll_event in = {.events = EPOLLIN, .data.ptr = c};
            int error = 0;
            socklen_t size = sizeof error;
            getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
            if (error) { lose(c); continue; }
            epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &in);
            if (dialect == POLL) c->state = OPENED;
            ask(c);
        } else {
            receive(c);
        }
    }
    if (dialect == POLL) { /* each asks in turn, spread over the period */
        uint64_t at = now();
        for (int i = 0; i < size; i++) {
            struct client *c = &clients[i];
            if (!c->due || at < c->due) continue;
            c->due += (uint64_t)(period * 1e9);
            if (c->state == LIVE) ask(c);
            else if (c->state == CLOSED) start(c); /* the server let the connection go */
        }
    }
}

static int compare(const void *a, const void *b) {
    return (*(uint32_t *)a > *(uint32_t *)b) - (*(uint32_t *)a < *(uint32_t *)b);
}

static double percentile(double share) {
    return marks ? took[(size_t)((marks - 1) * share)] / 1000.0 : -1;
}

static void report(void) {
    uint64_t at = now();
    if (marks) qsort(took, marks, sizeof *took, compare);
    printf("{\"open\":%d,\"live\":%d,\"failed\":%lu,\"closed\":%lu,\"frames\":%lu,\"marks\":%lu,"
           "\"polls\":%lu,\"bytes_in\":%lu,\"bytes_out\":%lu,\"gaps\":%lu,\"twice\":%lu,"
           "\"resets\":%lu,\"seconds\":%.6f,\"spread\":%.6f,\"all_live\":%.6f,\"cpu\":%.6f,"
           "\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,\"max\":%.3f}\n",
           opened, live, failed, closed, frames, marks, polls, bytes_in, bytes_out, gaps, twice,
           resets, (at - reset_at) / 1e9, (last_mark - first_mark) / 1e9,
           last_live > reset_at ? (last_live - reset_at) / 1e9 : 0, cpu() - reset_cpu,
           percentile(.5), percentile(.9), percentile(.99), percentile(1));
    fflush(stdout);
}

static void reset(void) {
    frames = marks = bytes_in = bytes_out = gaps = twice = resets = failed = closed = polls = 0;
    first_mark = last_mark = 0;
    reset_at = now();
    reset_cpu = cpu();
}

static void open_all(int wanted, int at_once) {
    int next = 0;
    uint64_t patience = now() + 120000000000ull;
    while (live < wanted && now() < patience) {
        while (pending < at_once && next < wanted) {
            if (clients[next].state == CLOSED) start(&clients[next]);
            next++;
        }
        if (next == wanted && !pending) break;
        turn(100);
    }
}

static void read_cookies(const char *file) {
    char *line = NULL;
    size_t room = 0;
    FILE *from = fopen(file, "r");
    if (!from) { perror(file); exit(1); }
    cookies = malloc(size * sizeof *cookies);
    while (cookie_count < size && getline(&line, &room, from) > 0) {
        line[strcspn(line, "\n")] = 0;
        cookies[cookie_count++] = strdup(line);
    }
    fclose(from);
}

int main(int argc, char **argv) {
    static const char *names[] = {"ours", "plain", "socketio", "sse", "poll"};
    if (argc < 7) {
        fprintf(stderr, "load DIALECT PORT PATH HEADERS CLIENTS COOKIES [SECONDS]\n");
        return 2;
    }
    for (int i = 0; i < 5; i++) if (!strcmp(argv[1], names[i])) dialect = i;
    port = atoi(argv[2]), path = argv[3], headers = argv[4], size = atoi(argv[5]);
    if (*argv[6]) read_cookies(argv[6]);
    if (argc > 7) period = atof(argv[7]);
    dump = getenv("LOAD_DUMP");
    clients = calloc(size, sizeof *clients);
    for (int i = 0; i < size; i++) clients[i].fd = -1;
    epoll = epoll_create1(0);
    reset();

    /* Commands are read between turns, so that sockets are answered while nobody asks. */
    static char line[256];
    size_t length = 0;
    fcntl(0, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    static struct client stdin_client = {.fd = -1};
    event.data.ptr = &stdin_client;
    epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &event);
    for (;;) {
        ssize_t got = read(0, line + length, 1);
        if (got == 0) return 0;
        if (got < 0) { turn(dialect == POLL ? 20 : 1000); continue; }
        if (line[length] != '\n') { length = (length + 1) % (sizeof line - 1); continue; }
        line[length] = 0;
        length = 0;
        int a = 0, b = 0;
        if (sscanf(line, "open %d %d", &a, &b) == 2) {
            if (a > size) a = size;
            reset();
            open_all(a, b);
        } else if (!strncmp(line, "reset", 5)) {
            reset();
        } else if (sscanf(line, "wait %d %d", &a, &b) == 2) {
            uint64_t end = now() + b * 1000000ull;
            while (marks < (uint64_t)a && now() < end) turn(20);
        } else if (sscanf(line, "rest %d", &a) == 1) {
            uint64_t end = now() + a * 1000000ull;
            while (now() < end) turn(20);
        } else if (!strncmp(line, "close", 5)) {
            for (int i = 0; i < size; i++) {
                if (clients[i].state == LIVE && dialect != SSE && dialect != POLL)
                    say(&clients[i], "\x03\xe8", 8);
                lose(&clients[i]);
            }
        } else if (sscanf(line, "port %d", &a) == 1) {
            port = a;
        } else if (!strncmp(line, "dump ", 5)) {
            FILE *to = fopen(line + 5, "w");
            if (!to) { perror(line + 5); exit(1); }
            for (uint64_t i = 0; i < marks; i++) fprintf(to, "%lu %lu\n", signs[i], arrivals[i]);
            fclose(to);
        } else if (!strncmp(line, "forget", 6)) {
            for (int i = 0; i < size; i++) forget(&clients[i]);
        }
        report();
    }
}
