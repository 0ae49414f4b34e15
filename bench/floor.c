/*
 * floor CERT KEY PORT [LOG]: what TLS and sockets alone cost for the traffic of the load generator.
 *
 * A yardstick, not a server: one thread, 127.0.0.1 only, no passwords, and just enough QSCP for loadgen.
 * It reads messages, delivers and acknowledges them. With LOG it first appends the messages of each
 * turn to that file and syncs it, which is the least that a server that promises to keep them can do.
 *
 * A turn of the loop: read what every ready connection sent; append and sync; put the frames for each
 * connection together; encrypt and send them in one record and one system call if they fit.
 * So it batches as the daemon does, and the difference between the two is the daemon's own work.
 *
 *     cc -O2 -Wall -Wextra -o floor floor.c -lssl -lcrypto
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	MAX_FDS = 65536,
	MAX_USERS = 16384,
	SENDERS = 12000, /* s0 is user 12000 */
	MAX_ROOMS = 256,
	MAX_BODY = 255,
	ID_LENGTH = 32,
	MAX_RECORD = 16384, /* plaintext of a TLS record, RFC 8446 section 5.1 */
	FRAME_SIZE = MAX_BODY + 256,
	LOG_SIZE = 256 << 20, /* then the log begins anew: only appending is measured, not a growing file */
};

/* Bytes that grow at their end. */
struct buffer {
	char *data;
	size_t length, capacity;
};

struct connection {
	int fd;
	SSL *ssl;
	BIO *encrypted_in, *encrypted_out;
	int user;             /* -1 before login */
	bool dirty;           /* has something to encrypt or to send */
	struct buffer input;  /* decrypted, up to the last incomplete line */
	struct buffer frames; /* to be encrypted at the end of the turn */
	struct buffer output; /* encrypted, from `sent` on still to be sent */
	size_t sent;
};

struct room {
	char name[32];
	long seq;
	int count;
	struct connection *members[MAX_USERS];
};

struct message {
	struct connection *sender;
	struct room *room;           /* NULL: to one user */
	struct connection *recipient; /* NULL also if that user is not online */
	char to[32], id[ID_LENGTH + 1], body[MAX_BODY + 1];
	long seq;
};

static int epoll_fd, log_fd = -1;
static off_t log_position;
static struct buffer log_lines;
static struct connection *connections[MAX_FDS];
static struct connection *dirty[MAX_FDS];
static int dirty_count;
static struct connection *users[MAX_USERS];
static char names[MAX_USERS][32];
static long sent_by[MAX_USERS]; /* newest seq: a user writes to one other user only */
static struct room *rooms[MAX_ROOMS];
static int room_count;
static struct message *messages; /* of this turn */
static int message_count, message_capacity;

static void append(struct buffer *buffer, const void *data, size_t length)
{
	if (buffer->length + length > buffer->capacity) {
		buffer->capacity = 2 * (buffer->length + length);
		buffer->data = realloc(buffer->data, buffer->capacity);
		if (buffer->data == NULL)
			err(1, "realloc");
	}
	memcpy(buffer->data + buffer->length, data, length);
	buffer->length += length;
}

static void mark_dirty(struct connection *c)
{
	if (!c->dirty) {
		c->dirty = true;
		dirty[dirty_count++] = c;
	}
}

/* Queue a frame, or several, for the end of the turn. */
static void queue(struct connection *c, const char *frame, size_t length)
{
	append(&c->frames, frame, length);
	mark_dirty(c);
}

static void queue_text(struct connection *c, const char *frame)
{
	queue(c, frame, strlen(frame));
}

/* --- rooms and users */

static struct room *find_room(const char *name)
{
	for (int i = 0; i < room_count; i++)
		if (strcmp(rooms[i]->name, name) == 0)
			return rooms[i];
	return NULL;
}

static void join(struct connection *c, const char *name)
{
	struct room *room = find_room(name);
	if (room == NULL) {
		if (room_count == MAX_ROOMS)
			errx(1, "more than %d rooms", MAX_ROOMS);
		room = rooms[room_count++] = calloc(1, sizeof *room);
		if (room == NULL)
			err(1, "calloc");
		strcpy(room->name, name);
	}
	if (room->count < MAX_USERS)
		room->members[room->count++] = c;
	queue_text(c, "{\"type\":\"room_ack\",\"ref\":\"join\"}\n");
}

/* The number of u7 is 7; that of s0 comes after those of all u. */
static int user_number(const char *name)
{
	int number = atoi(name + 1) + (name[0] == 's' ? SENDERS : 0);
	return number >= 0 && number < MAX_USERS ? number : 0;
}

static void close_connection(struct connection *c)
{
	if (c->user >= 0 && users[c->user] == c)
		users[c->user] = NULL;
	for (int i = 0; i < room_count; i++)
		for (int k = 0; k < rooms[i]->count; k++)
			if (rooms[i]->members[k] == c)
				rooms[i]->members[k--] = rooms[i]->members[--rooms[i]->count];
	for (int i = 0; i < message_count; i++) {
		if (messages[i].recipient == c)
			messages[i].recipient = NULL;
		if (messages[i].sender == c)
			messages[i].sender = NULL;
	}
	if (c->dirty)
		for (int i = 0; i < dirty_count; i++)
			if (dirty[i] == c)
				dirty[i] = dirty[--dirty_count];
	connections[c->fd] = NULL;
	close(c->fd);
	SSL_free(c->ssl);
	free(c->input.data);
	free(c->frames.data);
	free(c->output.data);
	free(c);
}

/* --- frames that come in */

/*
 * Copy the text after a mark, such as "\"id\":\"", up to the next quote. The generator's
 * texts have no escapes. Return false if it is missing or too long.
 */
static bool field(const char *line, const char *end, const char *mark, char *into, size_t size)
{
	const char *text = memmem(line, end - line, mark, strlen(mark));
	if (text == NULL)
		return false;
	text += strlen(mark);
	const char *quote = memchr(text, '"', end - text);
	if (quote == NULL || (size_t)(quote - text) >= size)
		return false;
	memcpy(into, text, quote - text);
	into[quote - text] = '\0';
	return true;
}

static bool is_type(const char *line, const char *end, const char *start)
{
	size_t length = strlen(start);
	return (size_t)(end - line) >= length && memcmp(line, start, length) == 0;
}

static void handle_chat(struct connection *c, const char *line, const char *end)
{
	if (message_count == message_capacity) {
		message_capacity = message_capacity ? 2 * message_capacity : 1024;
		messages = realloc(messages, message_capacity * sizeof *messages);
		if (messages == NULL)
			err(1, "realloc");
	}
	struct message *m = &messages[message_count];
	if (!field(line, end, "\"to\":\"", m->to, sizeof m->to) || !field(line, end, "\"body\":\"", m->body, sizeof m->body) ||
	    !field(line, end, "\"id\":\"", m->id, sizeof m->id))
		return;
	m->sender = c;
	m->room = m->to[0] == '#' ? find_room(m->to) : NULL;
	m->recipient = m->room ? NULL : users[user_number(m->to)];
	m->seq = m->room ? ++m->room->seq : ++sent_by[c->user];
	message_count++;
	if (log_fd >= 0) {
		append(&log_lines, &m->seq, sizeof m->seq);
		append(&log_lines, m->id, ID_LENGTH);
		append(&log_lines, m->body, strlen(m->body));
	}
}

/* Pass `received` and `read` on to the one who writes in that conversation. */
static void handle_report(struct connection *c, const char *line, const char *end, bool read)
{
	char conversation[32], frame[FRAME_SIZE];
	const char *seq = memmem(line, end - line, "\"seq\":", 6);
	if (seq == NULL || !field(line, end, "\"conversation\":\"", conversation, sizeof conversation))
		return;
	int writer = atoi(conversation + 1);
	if (conversation[0] != 'c' || writer < 0 || writer >= MAX_USERS || users[writer] == NULL)
		return; /* a room, where others are not notified */
	int length = read ? snprintf(frame, sizeof frame, "{\"type\":\"read\",\"conversation\":\"%s\",\"user\":\"%s\",\"seq\":%ld}\n",
				     conversation, names[c->user], atol(seq + 6))
			  : snprintf(frame, sizeof frame, "{\"type\":\"delivered\",\"conversation\":\"%s\",\"seq\":%ld}\n",
				     conversation, atol(seq + 6));
	queue(users[writer], frame, length);
}

static void handle_line(struct connection *c, const char *line, const char *end)
{
	char name[32];
	if (memmem(line, end - line, "\"type\":\"auth\"", 13) != NULL) {
		if (!field(line, end, "\"user\":\"", name, sizeof name))
			return;
		c->user = user_number(name);
		strcpy(names[c->user], name);
		users[c->user] = c;
		queue_text(c, "{\"type\":\"auth_ack\"}\n");
	} else if (c->user < 0) {
		return;
	} else if (is_type(line, end, "{\"type\":\"chat\"")) {
		handle_chat(c, line, end);
	} else if (is_type(line, end, "{\"type\":\"received\"")) {
		handle_report(c, line, end, false);
	} else if (is_type(line, end, "{\"type\":\"read\"")) {
		handle_report(c, line, end, true);
	} else if (is_type(line, end, "{\"type\":\"resume\"")) {
		queue_text(c, "{\"type\":\"resumed\"}\n");
	} else if (is_type(line, end, "{\"type\":\"join\"") && field(line, end, "\"room\":\"", name, sizeof name)) {
		join(c, name);
	}
}

/* Handle the complete lines; keep the rest. */
static void handle_input(struct connection *c)
{
	char *line = c->input.data, *end = line + c->input.length, *newline;
	while (line < end && (newline = memchr(line, '\n', end - line)) != NULL) {
		handle_line(c, line, newline);
		line = newline + 1;
	}
	c->input.length = end - line;
	if (line < end)
		memmove(c->input.data, line, end - line);
}

/* --- sockets and TLS */

static void watch(struct connection *c, int operation, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.fd = c->fd};
	epoll_ctl(epoll_fd, operation, c->fd, &event);
}

static void receive(struct connection *c)
{
	static char encrypted[262144], plain[MAX_RECORD];
	ssize_t length = recv(c->fd, encrypted, sizeof encrypted, MSG_DONTWAIT);
	if (length <= 0) {
		if (length == 0 || errno != EAGAIN)
			close_connection(c);
		return;
	}
	BIO_write(c->encrypted_in, encrypted, length);
	if (!SSL_is_init_finished(c->ssl)) {
		int result = SSL_do_handshake(c->ssl);
		mark_dirty(c);
		if (result != 1) {
			if (SSL_get_error(c->ssl, result) != SSL_ERROR_WANT_READ)
				close_connection(c);
			return;
		}
	}
	int got;
	while ((got = SSL_read(c->ssl, plain, sizeof plain)) > 0)
		append(&c->input, plain, got);
	handle_input(c);
}

/* Encrypt what is queued, and send as much as the socket takes. */
static void flush(struct connection *c)
{
	for (size_t at = 0; at < c->frames.length; at += MAX_RECORD) {
		size_t length = c->frames.length - at;
		SSL_write(c->ssl, c->frames.data + at, length < MAX_RECORD ? length : MAX_RECORD);
	}
	c->frames.length = 0;
	char *encrypted;
	long length = BIO_get_mem_data(c->encrypted_out, &encrypted);
	if (length > 0) {
		append(&c->output, encrypted, length);
		(void)BIO_reset(c->encrypted_out);
	}
	if (c->output.length == 0)
		return;
	ssize_t n = send(c->fd, c->output.data + c->sent, c->output.length - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n > 0)
		c->sent += n;
	if (c->sent == c->output.length)
		c->sent = c->output.length = 0;
	else
		watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
}

static void accept_connection(int listener, SSL_CTX *context)
{
	int one = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	if (fd < 0)
		return;
	if (fd >= MAX_FDS) {
		close(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	struct connection *c = calloc(1, sizeof *c);
	if (c == NULL)
		err(1, "calloc");
	*c = (struct connection){.fd = fd, .user = -1, .ssl = SSL_new(context)};
	c->encrypted_in = BIO_new(BIO_s_mem());
	c->encrypted_out = BIO_new(BIO_s_mem());
	SSL_set_bio(c->ssl, c->encrypted_in, c->encrypted_out);
	SSL_set_accept_state(c->ssl);
	connections[fd] = c;
	watch(c, EPOLL_CTL_ADD, EPOLLIN);
}

/* --- the end of a turn */

static void store_messages(void)
{
	if (log_fd < 0 || log_lines.length == 0)
		return;
	if (log_position + (off_t)log_lines.length > LOG_SIZE)
		log_position = 0;
	if (pwrite(log_fd, log_lines.data, log_lines.length, log_position) != (ssize_t)log_lines.length || fdatasync(log_fd) != 0)
		err(1, "writing the log");
	log_position += log_lines.length;
	log_lines.length = 0;
}

static void deliver(const struct message *m, long now)
{
	char frame[FRAME_SIZE], conversation[32];
	if (m->sender == NULL)
		return;
	if (m->room != NULL)
		snprintf(conversation, sizeof conversation, "r%s", m->room->name + 1);
	else
		snprintf(conversation, sizeof conversation, "c%d", m->sender->user);
	int length = snprintf(frame, sizeof frame,
			      "{\"type\":\"chat\",\"conversation\":\"%s\",\"seq\":%ld,\"id\":\"%s\",\"from\":\"%s\",\"to\":\"%s\","
			      "\"body\":\"%s\",\"time\":%ld}\n",
			      conversation, m->seq, m->id, names[m->sender->user], m->to, m->body, now);
	if (m->recipient != NULL)
		queue(m->recipient, frame, length);
	for (int i = 0; m->room != NULL && i < m->room->count; i++)
		if (m->room->members[i] != m->sender)
			queue(m->room->members[i], frame, length);
	length = snprintf(frame, sizeof frame, "{\"type\":\"chat_ack\",\"id\":\"%s\",\"conversation\":\"%s\",\"seq\":%ld,\"time\":%ld}\n",
			  m->id, conversation, m->seq, now);
	queue(m->sender, frame, length);
}

static void end_turn(void)
{
	struct timespec time;
	store_messages();
	clock_gettime(CLOCK_REALTIME, &time);
	for (int i = 0; i < message_count; i++)
		deliver(&messages[i], time.tv_sec * 1000 + time.tv_nsec / 1000000);
	message_count = 0;
	for (int i = 0; i < dirty_count; i++) {
		dirty[i]->dirty = false;
		flush(dirty[i]);
	}
	dirty_count = 0;
}

/* --- start */

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_length, const unsigned char *in,
		       unsigned in_length, void *unused)
{
	static const unsigned char ours[] = "\6qscp/1";
	(void)ssl, (void)unused;
	return SSL_select_next_proto((unsigned char **)out, out_length, ours, sizeof ours - 1, in, in_length) == OPENSSL_NPN_NEGOTIATED
		       ? SSL_TLSEXT_ERR_OK
		       : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static SSL_CTX *make_context(const char *certificate, const char *key)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	if (context == NULL || SSL_CTX_use_certificate_chain_file(context, certificate) != 1 ||
	    SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
		errx(1, "%s and %s are not a certificate and its key", certificate, key);
	SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
	SSL_CTX_set_num_tickets(context, 0);
	SSL_CTX_set_alpn_select_cb(context, choose_alpn, NULL);
	return context;
}

static int make_listener(const char *port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(port)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 4096) != 0)
		err(1, "port %s", port);
	return fd;
}

/* Make a file of its full size, so that a sync writes data only. */
static int make_log(const char *path)
{
	static const char zeros[1 << 20];
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	for (off_t at = 0; fd >= 0 && at < LOG_SIZE; at += sizeof zeros)
		if (pwrite(fd, zeros, sizeof zeros, at) != sizeof zeros)
			err(1, "%s", path);
	if (fd < 0 || fsync(fd) != 0)
		err(1, "%s", path);
	return fd;
}

int main(int argc, char **argv)
{
	static struct epoll_event events[1024];
	if (argc < 4 || argc > 5)
		errx(2, "usage: floor CERT KEY PORT [LOG]");
	signal(SIGPIPE, SIG_IGN);
	SSL_CTX *context = make_context(argv[1], argv[2]);
	if (argc == 5)
		log_fd = make_log(argv[4]);
	int listener = make_listener(argv[3]);
	epoll_fd = epoll_create1(0);
	watch(&(struct connection){.fd = listener}, EPOLL_CTL_ADD, EPOLLIN);
	for (;;) {
		int count = epoll_wait(epoll_fd, events, 1024, -1);
		for (int i = 0; i < count; i++) {
			struct connection *c = connections[events[i].data.fd];
			if (events[i].data.fd == listener) {
				accept_connection(listener, context);
				continue;
			}
			if (c == NULL) /* closed in this turn */
				continue;
			if (events[i].events & EPOLLOUT) {
				watch(c, EPOLL_CTL_MOD, EPOLLIN);
				mark_dirty(c);
			}
			if (events[i].events & ~EPOLLOUT)
				receive(c);
		}
		end_turn();
	}
}
