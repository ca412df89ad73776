<?php
// php-redis (the extension), unchanged: strings, expiry, transactions, scans, pub/sub, serializers, and PHP's own sessions.

require __DIR__ . '/shared.php';

function connect(): Redis
{
    $redis = new Redis();
    same($redis->connect('127.0.0.1', PORT, 20, null, 0, 20), true);
    return $redis;
}

function strings(): void
{
    $r = connect();
    same($r->ping(), true);
    same($r->echo('x'), 'x');
    same([$r->set('k', 'v'), $r->get('k'), $r->get('nothing')], [true, 'v', false]);
    same([$r->set('k', 'no', ['nx']), $r->set('k', 'w', ['xx', 'ex' => 100]), $r->ttl('k')], [false, true, 100]);
    same($r->setex('brief', 50, 'v') && $r->psetex('briefer', 50_000, 'v'), true);
    same([$r->setnx('k', 'x'), $r->getSet('k', 'y'), $r->append('k', 'z'), $r->strlen('k')], [false, 'w', 2, 2]);
    same([$r->getRange('k', 0, 0), $r->setRange('k', 1, 'ab')], ['y', 3]);
    same([$r->mSet(['a' => 1, 'b' => 2]), $r->mGet(['a', 'nothing', 'b'])], [true, ['1', false, '2']]);
    same([$r->mSetNx(['a' => 1, 'c' => 1]), $r->exists('a', 'b', 'c')], [false, 2]);
    same([$r->incr('a'), $r->incrBy('a', 40), $r->decr('a'), $r->decrBy('a', 2)], [2, 42, 41, 39]);
    same($r->incrByFloat('b', 0.5), 2.5);
    same($r->set(bytes(), bytes()) && $r->get(bytes()) === bytes(), true);
    // A refused command answers false, and the reason is kept (with a zero byte behind it in this version).
    same([$r->incr('k'), trim($r->getLastError(), "\0")], [false, 'ERR value is not an integer or out of range']);
    $r->clearLastError();
    same($r->rawCommand('NOSUCH', 'a'), false);
    $expected = "ERR unknown command 'NOSUCH', with args beginning with: 'a' ";
    same(trim($r->getLastError(), "\0"), $expected);
    same([$r->del('a', 'b'), $r->unlink('k')], [2, 1]);
    same($r->flushDB(), true);
}

function keys(): void
{
    $r = connect();
    $r->mSet(array_combine(array_map(fn ($n) => "user:$n", range(1, 1000)), range(1, 1000)));
    $found = [];
    $r->setOption(Redis::OPT_SCAN, Redis::SCAN_RETRY);
    for ($cursor = null; $keys = $r->scan($cursor, 'user:1*', 50);) {
        $found = [...$found, ...$keys];
    }
    same(count(array_unique($found)), 112);
    same([count($r->keys('user:1??')), $r->dbSize()], [100, 1000]);
    same([$r->type('user:1'), $r->object('encoding', 'user:1')], [Redis::REDIS_STRING, 'int']);
    same([$r->rename('user:1', 'x'), $r->renameNx('x', 'user:2'), $r->rawCommand('COPY', 'x', 'y')], [true, false, 1]);
    same([$r->expire('x', 100), $r->ttl('x'), $r->persist('x'), $r->ttl('x'), $r->ttl('no')], [true, 100, true, -1, -2]);
    same([$r->pexpire('x', 50_000), $r->expireAt('x', time() + 50)], [true, true]);
    same($r->move('x', 5) && $r->select(5) && $r->get('x') === '1', true);
    same($r->flushAll(), true);
    $r->select(0);
    $r->set('brief', 'v', ['px' => 20]);
    eventually('a key to expire', fn () => !$r->exists('brief'));
}

function transactions(): void
{
    [$r, $other] = [connect(), connect()];
    same($r->multi()->set('k', 1)->incr('k')->get('k')->exec(), [true, 2, '2']);
    same($r->multi()->set('word', 'x')->incr('word')->get('word')->exec(), [true, false, 'x']);
    $pipeline = $r->pipeline();
    for ($number = 0; $number < 3000; $number++) {
        $pipeline->incr('n');
    }
    same($pipeline->exec(), range(1, 3000));
    $r->watch('k');
    $other->set('k', 'theirs');
    same($r->multi()->set('k', 'mine')->exec(), false);
    same($r->get('k'), 'theirs');
    $r->multi()->set('k', 'mine')->discard();
    same($r->get('k'), 'theirs');
    $r->flushAll();
}

function messages(): void
{
    $r = connect();
    $found = [];
    // A subscriber has its connection for itself, so another process speaks.
    $script = '$r=new Redis();$r->connect("127.0.0.1",' . PORT . ');'
        . 'while($r->publish("news","hello")<2);$r->publish("news2","last");';
    $publisher = proc_open([PHP_BINARY, '-r', $script], [], $pipes);
    $subscriber = connect();
    $subscriber->setOption(Redis::OPT_READ_TIMEOUT, 20);
    $note = function ($redis, $pattern, $channel, $message) use (&$found) {
        $found[] = [$pattern, $channel, $message];
        if ($message === 'last') {
            $redis->close();
        }
    };
    // It listens until its connection ends, which is an exception.
    refused(fn () => $subscriber->psubscribe(['n*', 'news'], $note), 'Connection closed');
    proc_close($publisher);
    same(array_slice($found, -3), [['n*', 'news', 'hello'], ['news', 'news', 'hello'], ['n*', 'news2', 'last']]);
    eventually('the subscriber to be gone', fn () => $r->pubsub('numpat') === 0);
    same($r->pubsub('numsub', ['news']), ['news' => 0]);
}

function serializers(): void
{
    $r = connect();
    $r->setOption(Redis::OPT_PREFIX, 'app:');
    $r->setOption(Redis::OPT_SERIALIZER, Redis::SERIALIZER_PHP);
    $value = ['a' => [1, 2.5, null, true], 'b' => 'grün'];
    same($r->set('k', $value) && $r->get('k') === $value, true);
    same($r->mGet(['k', 'nothing']), [$value, false]);
    same(connect()->keys('*'), ['app:k']);
    $r->setOption(Redis::OPT_SERIALIZER, Redis::SERIALIZER_JSON);
    same($r->set('k', $value) && $r->get('k') === $value, true);
    connect()->flushAll();
}

function server(): void
{
    $r = connect();
    same($r->info()['redis_version'], '7.4.0');
    same($r->config('GET', 'appendfsync'), ['appendfsync' => 'everysec']);
    same($r->client('setname', 'php') && $r->client('getname') === 'php', true);
    same(count(array_filter($r->client('list'), fn ($client) => $client['name'] === 'php')), 1);
    same($r->role()[0], 'master');
    same(abs($r->time()[0] - time()) < 5, true);
    same($r->slowlog('len') >= 0, true);
}

function accounts(): void
{
    $r = connect();
    $r->acl('SETUSER', 'reader', 'on', '>secret', '~app:*', '+get');
    $reader = connect();
    same($reader->auth(['reader', 'secret']), true);
    same([$reader->get('app:1'), $reader->getLastError()], [false, null]);
    refused(fn () => $reader->get('other'), 'NOPERM');
    refused(fn () => connect()->auth(['reader', 'wrong']), 'WRONGPASS');
    same($r->acl('WHOAMI'), 'default');
    same($r->acl('DELUSER', 'reader'), 1);
    $unix = new Redis();
    same($unix->connect(SOCKET) && $unix->set('k', 'v') && $unix->del('k') === 1, true);
    same($unix->pconnect('127.0.0.1', PORT) && $unix->ping(), true);
}

function sessions(): void
{
    $r = connect();
    $path = 'tcp://127.0.0.1:' . PORT . '?prefix=sess:&timeout=20';
    foreach ([$path, 'unix://' . SOCKET . '?prefix=sess:'] as $where) {
        ini_set('session.save_handler', 'redis');
        ini_set('session.save_path', $where);
        ini_set('session.gc_maxlifetime', '1000');
        session('one', function () {
            $_SESSION['user'] = 'grün';
            $_SESSION['cart'] = [1, 2];
        });
        same($r->ttl('sess:one'), 1000);
        same(session('one', fn () => $_SESSION), ['user' => 'grün', 'cart' => [1, 2]]);
        same(session('other', fn () => $_SESSION), []);
        // A new id for the same session: what it was called before is gone.
        $new = session('one', function () {
            session_regenerate_id(true);
            return session_id();
        });
        same($r->exists('sess:one'), 0);
        same(session($new, fn () => $_SESSION['user']), 'grün');
        session_id($new);
        session_start();
        session_destroy();
        same($r->exists("sess:$new"), 0);
        $r->flushAll();
    }
}

// Sessions come before anything is printed, as headers do.
run(['sessions', 'strings', 'keys', 'transactions', 'messages', 'serializers', 'server', 'accounts']);
