// hiredis, unchanged: calls that wait, pipelines, pushes of RESP3 where the version knows them, and its asynchronous half
// on a loop of poll(2).
//
// Called with a port and the path of a Unix socket.

#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#define CHECK(condition)                                                              \
    do {                                                                              \
        if (!(condition)) {                                                           \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);   \
            exit(1);                                                                  \
        }                                                                             \
    } while (0)

static int port;
static const char *unix_path;

static redisContext *open_connection(void) {
    struct timeval patience = {20, 0};
    redisContext *context = redisConnectWithTimeout("127.0.0.1", port, patience);
    CHECK(context && !context->err);
    CHECK(redisSetTimeout(context, patience) == REDIS_OK);
    CHECK(redisEnableKeepAlive(context) == REDIS_OK);
    return context;
}

static redisReply *ask(redisContext *context, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = redisvCommand(context, format, arguments);
    va_end(arguments);
    CHECK(reply);
    return reply;
}

static int is(redisReply *reply, int type, const char *text) {
    int same = reply->type == type && reply->len == strlen(text) && !memcmp(reply->str, text, reply->len);
    if (!same) fprintf(stderr, "type %d: %s\n", reply->type, reply->str ? reply->str : "");
    freeReplyObject(reply);
    return same;
}

static int is_integer(redisReply *reply, long long value) {
    int same = reply->type == REDIS_REPLY_INTEGER && reply->integer == value;
    freeReplyObject(reply);
    return same;
}

static int is_nil(redisReply *reply) {
    int same = reply->type == REDIS_REPLY_NIL;
    freeReplyObject(reply);
    return same;
}

static void values(redisContext *context) {
    CHECK(is(ask(context, "SET greeting %s", "hello you"), REDIS_REPLY_STATUS, "OK"));
    CHECK(is(ask(context, "GET greeting"), REDIS_REPLY_STRING, "hello you"));
    CHECK(is_nil(ask(context, "GET nothing")));
    CHECK(is_integer(ask(context, "INCRBY n %lld", 9007199254740993LL), 9007199254740993LL));
    CHECK(is(ask(context, "INCR greeting"), REDIS_REPLY_ERROR, "ERR value is not an integer or out of range"));
    CHECK(is(ask(context, "NOSUCH a"), REDIS_REPLY_ERROR,
             "ERR unknown command 'NOSUCH', with args beginning with: 'a' "));
    char bytes[256];
    for (int byte = 0; byte < 256; byte++) bytes[byte] = (char)byte;
    CHECK(is(ask(context, "SET %b %b", bytes, sizeof bytes, bytes, sizeof bytes), REDIS_REPLY_STATUS, "OK"));
    const char *words[] = {"GET", bytes};
    size_t lengths[] = {3, sizeof bytes};
    redisReply *reply = redisCommandArgv(context, 2, words, lengths);
    CHECK(reply && reply->type == REDIS_REPLY_STRING && reply->len == 256 && !memcmp(reply->str, bytes, 256));
    freeReplyObject(reply);
    reply = ask(context, "MGET greeting nothing n");
    CHECK(reply->type == REDIS_REPLY_ARRAY && reply->elements == 3);
    CHECK(reply->element[0]->type == REDIS_REPLY_STRING && reply->element[1]->type == REDIS_REPLY_NIL);
    freeReplyObject(reply);
    size_t large = 5 << 20;
    char *value = malloc(large);
    memset(value, 'v', large);
    CHECK(is(ask(context, "SET large %b", value, large), REDIS_REPLY_STATUS, "OK"));
    reply = ask(context, "GET large");
    CHECK(reply->len == large && !memcmp(reply->str, value, large));
    freeReplyObject(reply);
    free(value);
    CHECK(is(ask(context, "FLUSHALL"), REDIS_REPLY_STATUS, "OK"));
}

static void pipelines(redisContext *context) {
    redisReply *reply;
    for (int number = 0; number < 10000; number++) CHECK(redisAppendCommand(context, "INCR n") == REDIS_OK);
    CHECK(redisAppendCommand(context, "NOSUCH") == REDIS_OK);
    CHECK(redisAppendFormattedCommand(context, "PING\r\n", 6) == REDIS_OK);
    for (int number = 1; number <= 10000; number++) {
        CHECK(redisGetReply(context, (void **)&reply) == REDIS_OK);
        CHECK(is_integer(reply, number));
    }
    CHECK(redisGetReply(context, (void **)&reply) == REDIS_OK && reply->type == REDIS_REPLY_ERROR);
    freeReplyObject(reply);
    CHECK(redisGetReply(context, (void **)&reply) == REDIS_OK);
    CHECK(is(reply, REDIS_REPLY_STATUS, "PONG"));
    const char *transaction[] = {"MULTI", "SET t 1", "INCR t", "GET t", "EXEC"};
    for (int number = 0; number < 5; number++) redisAppendCommand(context, transaction[number]);
    for (int number = 0; number < 4; number++) {
        CHECK(redisGetReply(context, (void **)&reply) == REDIS_OK);
        CHECK(is(reply, REDIS_REPLY_STATUS, number == 0 ? "OK" : "QUEUED"));
    }
    CHECK(redisGetReply(context, (void **)&reply) == REDIS_OK);
    CHECK(reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 && reply->element[1]->integer == 2);
    freeReplyObject(reply);
    freeReplyObject(ask(context, "FLUSHALL"));
}

static void messages(redisContext *context) {
    redisContext *other = open_connection();
    redisReply *reply = ask(context, "SUBSCRIBE news weather");
    CHECK(reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 && reply->element[2]->integer == 1);
    freeReplyObject(reply);
    CHECK(redisGetReply(context, (void **)&reply) == REDIS_OK && reply->element[2]->integer == 2);
    freeReplyObject(reply);
    for (int number = 0; number < 100; number++) CHECK(is_integer(ask(other, "PUBLISH news %d", number), 1));
    for (int number = 0; number < 100; number++) {
        CHECK(redisGetReply(context, (void **)&reply) == REDIS_OK);
        CHECK(reply->elements == 3 && !strcmp(reply->element[0]->str, "message"));
        CHECK(atoi(reply->element[2]->str) == number);
        freeReplyObject(reply);
    }
    redisFree(other);
}

static void unix_socket(void) {
    redisContext *context = redisConnectUnix(unix_path);
    CHECK(context && !context->err);
    CHECK(is(ask(context, "SELECT 3"), REDIS_REPLY_STATUS, "OK"));
    redisReply *reply = ask(context, "CLIENT INFO");
    CHECK(strstr(reply->str, " flags=U db=3 "));
    freeReplyObject(reply);
    redisFree(context);
}

static void comes_back(void) {
    redisContext *context = open_connection(), *other = open_connection();
    redisReply *id = ask(context, "CLIENT ID");
    CHECK(is_integer(ask(other, "CLIENT KILL ID %lld", id->integer), 1));
    for (int here = 1; here;) {
        redisReply *list = ask(other, "CLIENT LIST ID %lld", id->integer);
        here = list->len > 1;
        freeReplyObject(list);
    }
    CHECK(redisCommand(context, "PING") == NULL && context->err);
    CHECK(redisReconnect(context) == REDIS_OK);
    CHECK(is(ask(context, "PING"), REDIS_REPLY_STATUS, "PONG"));
    redisReply *now = ask(context, "CLIENT ID");
    CHECK(now->integer > id->integer);
    freeReplyObject(id);
    freeReplyObject(now);
    redisFree(context);
    redisFree(other);
}

#if HIREDIS_MAJOR >= 1
static int pushes;
static char pushed[64];

static void on_push(void *data, void *received) {
    (void)data;
    redisReply *reply = received;
    CHECK(reply->type == REDIS_REPLY_PUSH && reply->elements >= 2);
    pushes += 1;
    snprintf(pushed, sizeof pushed, "%s", reply->element[0]->str);
    freeReplyObject(reply);
}

static void version_three(void) {
    redisContext *context = open_connection(), *other = open_connection();
    redisSetPushCallback(context, on_push);
    redisReply *reply = ask(context, "HELLO 3 SETNAME hiredis");
    CHECK(reply->type == REDIS_REPLY_MAP && reply->elements == 14);
    CHECK(!strcmp(reply->element[4]->str, "proto") && reply->element[5]->integer == 3);
    CHECK(reply->element[13]->type == REDIS_REPLY_ARRAY && reply->element[13]->elements == 0);
    freeReplyObject(reply);
    reply = ask(context, "CLIENT INFO");
    CHECK(reply->type == REDIS_REPLY_VERB && !strcmp(reply->vtype, "txt") && strstr(reply->str, " resp=3 "));
    freeReplyObject(reply);
    reply = ask(context, "CONFIG GET appendfsync");
    CHECK(reply->type == REDIS_REPLY_MAP && reply->elements == 2);
    freeReplyObject(reply);
    reply = ask(context, "COMMAND INFO GET");
    CHECK(reply->element[0]->element[2]->type == REDIS_REPLY_SET);
    freeReplyObject(reply);
    CHECK(is_nil(ask(context, "GET nothing")));
    CHECK(is(ask(context, "CLIENT TRACKING ON"), REDIS_REPLY_STATUS, "OK"));
    CHECK(is(ask(context, "SET k v"), REDIS_REPLY_STATUS, "OK"));
    freeReplyObject(ask(context, "GET k"));
    freeReplyObject(ask(other, "SET k w"));
    for (time_t end = time(NULL) + 20; pushes == 0 && time(NULL) < end;) freeReplyObject(ask(context, "PING"));
    CHECK(pushes == 1 && !strcmp(pushed, "invalidate"));
    freeReplyObject(ask(other, "FLUSHALL"));
    for (time_t end = time(NULL) + 20; pushes == 1 && time(NULL) < end;) freeReplyObject(ask(context, "PING"));
    CHECK(pushes == 2);
    redisFree(context);
    redisFree(other);
    printf("RESP3 and pushes\n");
}
#endif

// What the asynchronous half waits for; it is told so by the functions below.
static int wants, alive = 1;

static void want_read(void *data) { (void)data; wants |= POLLIN; }
static void no_read(void *data) { (void)data; wants &= ~POLLIN; }
static void want_write(void *data) { (void)data; wants |= POLLOUT; }
static void no_write(void *data) { (void)data; wants &= ~POLLOUT; }
static void stop(void *data) { (void)data; wants = 0; alive = 0; }

static redisAsyncContext *open_asynchronous(void) {
    redisAsyncContext *context = redisAsyncConnect("127.0.0.1", port);
    CHECK(context && !context->err);
    wants = 0;
    alive = 1;
    context->ev.data = context;
    context->ev.addRead = want_read;
    context->ev.delRead = no_read;
    context->ev.addWrite = want_write;
    context->ev.delWrite = no_write;
    context->ev.cleanup = stop;
    return context;
}

static void turn(redisAsyncContext *context) {
    struct pollfd descriptor = {context->c.fd, (short)wants, 0};
    CHECK(poll(&descriptor, 1, 20000) > 0);
    if (descriptor.revents & (POLLIN | POLLHUP | POLLERR)) redisAsyncHandleRead(context);
    if (alive && descriptor.revents & POLLOUT) redisAsyncHandleWrite(context);
}

static int connected, disconnected, replies, told, last;

static void on_connect(const redisAsyncContext *context, int status) {
    (void)context;
    connected = status == REDIS_OK;
}

static void on_disconnect(const redisAsyncContext *context, int status) {
    (void)context;
    disconnected = status == REDIS_OK;
}

static void on_reply(redisAsyncContext *context, void *received, void *data) {
    (void)context;
    redisReply *reply = received;
    CHECK(reply && reply->type == REDIS_REPLY_INTEGER && reply->integer == (long)data);
    replies += 1;
}

static void on_message(redisAsyncContext *context, void *received, void *data) {
    (void)context, (void)data;
    redisReply *reply = received;
    if (!reply) return;
    CHECK((reply->type == REDIS_REPLY_ARRAY || reply->type == 12) && reply->elements == 3);
    if (!strcmp(reply->element[0]->str, "subscribe")) told = 1;
    if (!strcmp(reply->element[0]->str, "message")) last = atoi(reply->element[2]->str), told += 1;
}

static void asynchronous(void) {
    redisAsyncContext *context = open_asynchronous();
    redisAsyncSetConnectCallback(context, on_connect);
    redisAsyncSetDisconnectCallback(context, on_disconnect);
    for (long number = 1; number <= 5000; number++) redisAsyncCommand(context, on_reply, (void *)number, "INCR n");
    while (replies < 5000) turn(context);
    CHECK(connected);
    redisAsyncDisconnect(context);
    while (alive) turn(context);
    CHECK(disconnected);

    redisContext *other = open_connection();
    context = open_asynchronous();
    redisAsyncCommand(context, on_message, NULL, "SUBSCRIBE queue");
    while (!told) turn(context);
    for (int number = 1; number <= 500; number++) CHECK(is_integer(ask(other, "PUBLISH queue %d", number), 1));
    while (told < 501) turn(context);
    CHECK(last == 500);
    redisAsyncFree(context);
    CHECK(is(ask(other, "FLUSHALL"), REDIS_REPLY_STATUS, "OK"));
    redisFree(other);
}

int main(int count, char **arguments) {
    CHECK(count == 3);
    port = atoi(arguments[1]);
    unix_path = arguments[2];
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("hiredis %d.%d.%d\n", HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
    redisContext *context = open_connection();
    values(context);
    pipelines(context);
    messages(context);
    redisFree(context);
    printf("values, pipelines and messages\n");
    unix_socket();
    comes_back();
    printf("Unix socket, coming back\n");
#if HIREDIS_MAJOR >= 1
    version_three();
#endif
    asynchronous();
    printf("asynchronous\nDONE\n");
    return 0;
}
