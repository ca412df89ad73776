<?php
// predis, unchanged: commands, pipelines, transactions, walks, pub/sub, prefixes, and PHP's sessions by its handler.

require __DIR__ . '/shared.php';
require 'Predis/Autoloader.php';
Predis\Autoloader::register();

function connect(array $parameters = [], array $options = []): Predis\Client
{
    $place = ['host' => '127.0.0.1', 'port' => PORT, 'read_write_timeout' => 20];
    return new Predis\Client($parameters + $place, $options);
}

function strings(): void
{
    $r = connect();
    same((string) $r->ping(), 'PONG');
    same([(string) $r->set('k', 'v'), $r->get('k'), $r->get('nothing')], ['OK', 'v', null]);
    same([$r->set('k', 'no', 'NX'), (string) $r->set('k', 'w', 'EX', 100), $r->ttl('k')], [null, 'OK', 100]);
    same([(string) $r->mset(['a' => 1, 'b' => 2]), $r->mget(['a', 'nothing', 'b'])], ['OK', ['1', null, '2']]);
    same([$r->incrby('a', 41), $r->incrbyfloat('b', 0.5), $r->append('k', 'x')], [42, '2.5', 2]);
    same((string) $r->set(bytes(), bytes()), 'OK');
    same($r->get(bytes()), bytes());
    refused(fn () => $r->incr('k'), 'ERR value is not an integer or out of range');
    $unknown = new Predis\Command\RawCommand(['NOSUCH', 'a']);
    refused(fn () => $r->executeCommand($unknown), "ERR unknown command 'NOSUCH', with args beginning with: 'a' ");
    same($r->del(['a', 'b']), 2);
    same([$r->expire('k', 50), $r->pttl('k') > 49_000, $r->persist('k'), $r->ttl('k')], [1, true, 1, -1]);
    $r->psetex('brief', 20, 'v');
    eventually('a key to expire', fn () => !$r->exists('brief'));
    $r->flushall();
}

function pipelines(): void
{
    $r = connect();
    same($r->pipeline(function ($pipe) {
        for ($number = 0; $number < 3000; $number++) {
            $pipe->incr('n');
        }
    }), range(1, 3000));
    $found = $r->transaction(function ($t) {
        $t->set('k', 1);
        $t->incr('k');
        $t->get('k');
    });
    same([(string) $found[0], $found[1], $found[2]], ['OK', 2, '2']);
    $turns = 0;
    $found = $r->transaction(['cas' => true, 'watch' => 'k', 'retry' => 3], function ($t) use (&$turns) {
        $value = (int) $t->get('k');
        if ($turns++ === 0) {
            connect()->set('k', 100);
        }
        $t->multi();
        $t->set('k', $value + 1);
    });
    same([$turns, (string) $found[0], $r->get('k')], [2, 'OK', '101']);
    refused(fn () => $r->transaction(['watch' => 'k'], function ($t) {
        $t->set('k', 2);
        connect()->set('k', 1);
    }), 'aborted');
    $r->flushall();
}

function walks(): void
{
    $r = connect([], ['prefix' => 'app:']);
    $pairs = array_combine(array_map(fn ($n) => "user:$n", range(1, 1000)), range(1, 1000));
    $r->mset($pairs);
    $plain = connect();
    $found = iterator_to_array(new Predis\Collection\Iterator\Keyspace($plain, 'app:user:1*', 50), false);
    same(count(array_unique($found)), 112);
    same([$r->get('user:7'), $plain->get('app:user:7'), count($plain->keys('app:user:1??'))], ['7', '7', 100]);
    $plain->flushall();
}

function messages(): void
{
    $r = connect();
    $loop = connect()->pubSubLoop();
    $loop->subscribe('news');
    $loop->psubscribe('n*');
    $found = [];
    foreach ($loop as $message) {
        $found[] = [$message->kind, $message->channel, $message->payload];
        if ($message->kind === 'psubscribe') {
            same($r->publish('news', 'hello'), 2);
        }
        if ($message->kind === 'pmessage') {
            $loop->stop();
            break;
        }
    }
    same($found, [
        ['subscribe', 'news', 1],
        ['psubscribe', 'n*', 2],
        ['message', 'news', 'hello'],
        ['pmessage', 'news', 'hello'],
    ]);
    eventually('the subscriber to be gone', fn () => $r->pubsub('numpat') === 0);
}

function server(): void
{
    $r = connect();
    same($r->info()['Server']['redis_version'], '7.4.0');
    same($r->config('GET', 'appendfsync'), ['appendfsync' => 'everysec']);
    same([(string) $r->client('setname', 'predis'), $r->client('getname')], ['OK', 'predis']);
    $third = connect(['database' => 3]);
    $third->set('k', 'v');
    same([$r->get('k'), $third->get('k')], [null, 'v']);
    $unix = new Predis\Client(['scheme' => 'unix', 'path' => SOCKET, 'database' => 3]);
    same($unix->get('k'), 'v');
    $r->flushall();
    $r->config('SET', 'requirepass', 'secret');
    refused(fn () => connect()->get('k'), 'NOAUTH');
    refused(fn () => connect(['password' => 'wrong'])->get('k'), 'WRONGPASS');
    same(connect(['password' => 'secret'])->get('k'), null);
    $r->config('SET', 'requirepass', '');
}

function sessions(): void
{
    $r = connect([], ['prefix' => 'sess:']);
    (new Predis\Session\Handler($r, ['gc_maxlifetime' => 1000]))->register();
    session('one', function () {
        $_SESSION['user'] = 'grün';
    });
    same([$r->ttl('one'), session('one', fn () => $_SESSION)], [1000, ['user' => 'grün']]);
    same(session('other', fn () => $_SESSION), []);
    session_id('one');
    session_start();
    session_destroy();
    same($r->exists('one'), 0);
    connect()->flushall();
}

// Sessions come before anything is printed, as headers do.
run(['sessions', 'strings', 'pipelines', 'walks', 'messages', 'server']);
