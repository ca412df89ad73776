<?php
// php-redis (the extension), unchanged: strings, collections, expiry, transactions, scans, pub/sub, serializers, and
// PHP's own sessions.

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
    same(
        [$r->expire('x', 100), $r->ttl('x'), $r->persist('x'), $r->ttl('x'), $r->ttl('no')],
        [true, 100, true, -1, -2],
    );
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

function lists(): void
{
    $r = connect();
    same([$r->rPush('l', 'a', 'b', 'c'), $r->lPush('l', 'z'), $r->lPushx('no', 'x')], [3, 4, 0]);
    same([$r->lRange('l', 0, -1), $r->lLen('l'), $r->lIndex('l', 9)], [['z', 'a', 'b', 'c'], 4, false]);
    same([$r->lPop('l'), $r->rPop('l'), $r->lPop('no'), $r->lRem('l', 'a', 1)], ['z', 'c', false, 1]);
    same([$r->lInsert('l', Redis::BEFORE, 'b', 'x'), $r->lSet('l', 0, 'y'), $r->lTrim('l', 0, 0)], [2, true, true]);
    same([$r->rpoplpush('l', 'm'), $r->rpoplpush('l', 'm'), $r->lRange('m', 0, -1)], ['y', false, ['y']]);
    same([$r->brPop(['l', 'm'], 1), $r->blPop(['l', 'm'], 1), $r->brpoplpush('l', 'm', 1)], [['m', 'y'], [], false]);
    $r->rPush('ids', 3, 1, 2);
    same([$r->sort('ids'), $r->sort('ids', ['sort' => 'desc', 'limit' => [0, 2]])], [['1', '2', '3'], ['3', '2']]);
    same([$r->type('ids'), $r->hGet('ids', 'a')], [Redis::REDIS_LIST, false]);
    same(str_starts_with($r->getLastError(), 'WRONGTYPE '), true);
    $r->flushAll();
}

function hashes(): void
{
    $r = connect();
    same([$r->hSet('h', 'a', 1), $r->hSet('h', 'a', 2), $r->hMSet('h', ['b' => 'x', 'c' => 3])], [1, 0, true]);
    same(
        [$r->hGet('h', 'a'), $r->hGet('h', 'no'), $r->hGetAll('h'), $r->hGetAll('no')],
        ['2', false, ['a' => '2', 'b' => 'x', 'c' => '3'], []],
    );
    same(
        [$r->hMGet('h', ['a', 'no']), $r->hKeys('h'), $r->hVals('h')],
        [['a' => '2', 'no' => false], ['a', 'b', 'c'], ['2', 'x', '3']],
    );
    same([$r->hIncrBy('h', 'a', 5), $r->hIncrByFloat('h', 'a', 0.5), $r->hSetNx('h', 'a', 1)], [7, 7.5, false]);
    same([$r->hExists('h', 'b'), $r->hStrLen('h', 'b'), $r->hDel('h', 'b', 'no'), $r->hLen('h')], [true, 1, 1, 2]);
    same($r->rawCommand('HEXPIRE', 'h', 100, 'FIELDS', 2, 'a', 'no'), [1, -2]);
    $r->hMSet('many', array_combine(range(1, 1000), range(1, 1000)));
    $found = [];
    for ($cursor = null; $fields = $r->hScan('many', $cursor, '*', 50);) {
        $found += $fields;
    }
    ksort($found);
    same([count($found), $found[1000], $r->type('h')], [1000, '1000', Redis::REDIS_HASH]);
    $r->flushAll();
}

function sets(): void
{
    $r = connect();
    same(
        [$r->sAdd('s', 'a', 'b', 'c'), $r->sAddArray('t', ['b', 'x']), sorted($r->sMembers('s'))],
        [3, 2, ['a', 'b', 'c']],
    );
    same(
        [$r->sIsMember('s', 'a'), $r->sMisMember('s', 'a', 'x'), $r->sRem('s', 'c'), $r->sCard('s')],
        [true, [1, 0], 1, 2],
    );
    same([$r->sInter('s', 't'), $r->sDiff('s', 't'), sorted($r->sUnion('s', 't'))], [['b'], ['a'], ['a', 'b', 'x']]);
    same(
        [$r->sUnionStore('u', 's', 't'), $r->sMove('s', 't', 'a'), $r->sPop('no'), $r->sRandMember('s')],
        [3, true, false, 'b'],
    );
    same([$r->type('s'), count($r->sRandMember('u', -5)), count($r->sPop('u', 2))], [Redis::REDIS_SET, 5, 2]);

    same([$r->zAdd('z', 1, 'a', 2.5, 'b'), $r->zAdd('z', ['XX', 'CH'], 3, 'a', 1, 'no')], [2, 1]);
    same([$r->zRange('z', 0, -1), $r->zRevRange('z', 0, 0, true)], [['b', 'a'], ['a' => 3.0]]);
    same(
        [$r->zRange('z', 0, -1, true), $r->zRangeByScore('z', '-inf', '(3', ['withscores' => true])],
        [['b' => 2.5, 'a' => 3.0], ['b' => 2.5]],
    );
    same(
        [$r->zScore('z', 'b'), $r->zScore('z', 'no'), $r->zRank('z', 'a'), $r->zRevRank('z', 'no')],
        [2.5, false, 1, false],
    );
    same([$r->zIncrBy('z', 0.5, 'b'), $r->zCount('z', 3, 3), $r->zRem('z', 'no'), $r->zCard('z')], [3.0, 2, 0, 2]);
    same([$r->zPopMin('z'), $r->zPopMax('z'), $r->bzPopMin('z', 1)], [['a' => 3.0], ['b' => 3.0], []]);
    $r->zAdd('z', 1, 'a');
    same([$r->bzPopMax('z', 1), $r->type('z')], [['z', 'a', '1'], Redis::REDIS_NOT_FOUND]);
    $r->zAdd('y', 1, 'a');
    $r->zAdd('z', 2, 'a', 3, 'b');
    same(
        [$r->zUnionStore('to', ['y', 'z'], [2, 1], 'SUM'), $r->zRange('to', 0, -1, true)],
        [2, ['b' => 3.0, 'a' => 4.0]],
    );
    same([$r->zInterStore('to', ['y', 'z']), $r->type('to')], [1, Redis::REDIS_ZSET]);
    $found = $r->multi()->zAdd('z', 9, 'c')->zRange('z', -1, -1, true)->lPush('l', 'x')->lRange('l', 0, -1)->exec();
    same($found, [1, ['c' => 9.0], 1, ['x']]);
    $r->flushAll();
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
run([
    'sessions', 'strings', 'keys', 'lists', 'hashes', 'sets', 'transactions', 'messages', 'serializers',
    'server', 'accounts',
]);
