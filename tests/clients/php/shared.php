<?php
// What the checks in PHP need. Each is called with a port and the path of a Unix socket.

set_error_handler(function (int $kind, string $text, string $file, int $line) {
    throw new ErrorException($text, 0, $kind, $file, $line);
}, E_ALL & ~E_DEPRECATED);

define('PORT', (int) $argv[1]);
define('SOCKET', $argv[2]);

function same(mixed $found, mixed $expected): void
{
    if ($found !== $expected) {
        throw new Exception(var_export($found, true) . ' instead of ' . var_export($expected, true));
    }
}

function refused(callable $call, string $text): void
{
    try {
        $found = $call();
    } catch (Exception $refusal) {
        if (!str_contains($refusal->getMessage(), $text)) {
            throw new Exception("{$refusal->getMessage()} instead of $text");
        }
        return;
    }
    throw new Exception(var_export($found, true) . ' instead of an error');
}

function eventually(string $what, callable $condition): void
{
    $end = microtime(true) + 20;
    while (!$condition()) {
        if (microtime(true) > $end) {
            throw new Exception("waited for $what");
        }
        usleep(1000);
    }
}

function sorted(array $list): array
{
    sort($list);
    return $list;
}

function bytes(): string
{
    return implode('', array_map('chr', range(0, 255)));
}

/** What each request of a web server does, without one. */
function session(string $id, callable $use): mixed
{
    session_id($id);
    session_start();
    $found = $use();
    session_write_close();
    $_SESSION = [];
    return $found;
}

function run(array $checks): void
{
    foreach ($checks as $check) {
        $check();
        echo "$check\n";
    }
    echo "DONE\n";
}
