# ruby-redis (redis-rb), unchanged: commands, pipelines, transactions, walks, pub/sub, reconnecting, users.
#
# Called with a port and the path of a Unix socket. Prints RESTART when the server is to be started again, and waits
# for a line.

require "redis"

PORT = Integer(ARGV[0])
SOCKET = ARGV[1]
PATIENCE = 20
$stdout.sync = true

def connect(**options)
  Redis.new(port: PORT, timeout: PATIENCE, **options)
end

def same(found, expected)
  raise "#{found.inspect} instead of #{expected.inspect}" unless found == expected
end

def refused(error, text)
  found = yield
rescue error => refusal
  raise "#{refusal.message} instead of #{text}" unless refusal.message.include?(text)
else
  raise "#{found.inspect} instead of an error"
end

def eventually(what)
  limit = Process.clock_gettime(Process::CLOCK_MONOTONIC) + PATIENCE
  until yield
    raise "waited for #{what}" if Process.clock_gettime(Process::CLOCK_MONOTONIC) > limit

    sleep 0.001
  end
end

def strings
  r = connect
  same r.ping, "PONG"
  same [r.set("k", "v"), r.get("k"), r.get("nothing")], ["OK", "v", nil]
  same [r.set("k", "no", nx: true), r.set("k", "w", xx: true, ex: 100, get: true), r.ttl("k")], [false, "v", 100]
  same [r.mset("a", 1, "b", 2), r.mget("a", "nothing", "b"), r.mapped_mget("a", "b")],
       ["OK", ["1", nil, "2"], { "a" => "1", "b" => "2" }]
  same [r.incr("a"), r.incrby("a", 40), r.decr("a"), r.incrbyfloat("b", 0.5)], [2, 42, 41, 2.5]
  same [r.append("k", "xy"), r.strlen("k"), r.getrange("k", 1, -1), r.getset("k", "z"), r.getdel("k")],
       [3, 3, "xy", "wxy", "z"]
  binary = (0..255).map(&:chr).join.b
  r.set(binary, binary)
  same r.get(binary).b, binary
  r.set("word", "x")
  refused(Redis::CommandError, "ERR value is not an integer or out of range") { r.incr("word") }
  refused(Redis::CommandError, "ERR unknown command 'NOSUCH'") { r.call("NOSUCH") }
  same [r.setnx("word", "y"), r.msetnx("word", 1, "other", 2), r.del("word", "a"), r.unlink("b")], [false, false, 2, 1]
  same [r.copy(binary, "copy"), r.getex("copy", ex: 50).b, r.ttl("copy")], [true, binary, 50]
  r.flushall
end

def keys
  r = connect
  r.mapped_mset((1..1000).to_h { |number| ["user:#{number}", number] })
  same r.scan_each(match: "user:1*", count: 50).to_a.uniq.size, 112
  same [r.keys("user:1??").size, r.dbsize, r.exists("user:1", "user:2"), r.exists?("x")], [100, 1000, 2, false]
  same [r.type("user:1"), r.object("encoding", "user:1"), r.rename("user:1", "x")], %w[string int OK]
  same [r.expire("x", 100), r.ttl("x"), r.persist("x"), r.ttl("x"), r.ttl("no")], [true, 100, true, -1, -2]
  same r.flushdb, "OK"
  r.set("brief", "v", px: 20)
  eventually("a key to expire") { !r.exists?("brief") }
end

def pipelines
  r = connect
  other = connect
  same r.pipelined { |p| 3000.times { p.incr("n") } }, (1..3000).to_a
  found = nil
  replies = r.multi do |t|
    t.set("k", 1)
    found = t.incr("k")
    t.get("k")
  end
  same [replies, found.value], [["OK", 2, "2"], 2]
  refused(Redis::CommandError, "not an integer") { r.multi { |t| t.set("word", "x"); t.incr("word"); t.set("after", 1) } }
  same r.get("after"), "1"
  r.watch("k") do
    other.set("k", "theirs")
    same r.multi { |t| t.set("k", "mine") }, nil
  end
  same r.get("k"), "theirs"
  r.flushall
end

def messages
  r = connect
  found = []
  subscriber = connect
  thread = Thread.new do
    subscriber.psubscribe("n*") do |on|
      on.psubscribe { |pattern, count| found << [pattern, count] }
      on.pmessage do |pattern, channel, message|
        found << [pattern, channel, message]
        subscriber.punsubscribe if message == "last"
      end
    end
  end
  eventually("the subscription") { r.pubsub(:numpat) == 1 }
  same [r.publish("news", "hello"), r.publish("weather", "x"), r.publish("news", "last")], [1, 0, 1]
  same thread.join(PATIENCE), thread
  same found, [["n*", 1], ["n*", "news", "hello"], ["n*", "news", "last"]]
  same subscriber.ping, "PONG"
  silent = connect
  refused(Redis::TimeoutError, "") { silent.subscribe_with_timeout(0.05, "silence") { |_| nil } }
end

def server
  r = connect(id: "ruby", db: 3)
  same [r.info["redis_version"], r.config(:get, "appendfsync")], ["7.4.0", { "appendfsync" => "everysec" }]
  same r.set("k", "v"), "OK"
  unix = Redis.new(path: SOCKET, db: 3)
  same unix.get("k"), "v"
  same [r.role.first, (r.time.first - Time.now.to_i).abs < 5], ["master", true]
  r.flushall
end

def users
  r = connect
  r.call("ACL", "SETUSER", "reader", "on", ">secret", "~app:*", "+get", "+ping")
  reader = connect(username: "reader", password: "secret")
  same reader.get("app:1"), nil
  refused(Redis::CommandError, "NOPERM") { reader.get("other") }
  refused(Redis::CommandError, "WRONGPASS") { connect(username: "reader", password: "wrong").ping }
  same r.call("ACL", "DELUSER", "reader"), 1
  r.config(:set, "requirepass", "secret")
  refused(Redis::CommandError, "NOAUTH") { connect.get("k") }
  same connect(password: "secret").get("k"), nil
  r.config(:set, "requirepass", "")
end

def many_threads
  r = connect
  20.times.map { Thread.new { 50.times { r.incr("hits") } } }.each(&:join)
  same r.getdel("hits"), "1000"
end

def comes_back
  r = connect
  r.set("kept", "yes")
  3.times do
    connect.call("CLIENT", "KILL", "ID", r.call("CLIENT", "ID"))
    same r.get("kept"), "yes"
  end
  puts "RESTART"
  $stdin.gets
  same r.get("kept"), "yes"
end

%i[strings keys pipelines messages server users many_threads comes_back].each do |check|
  send(check)
  puts check
end
puts "DONE"
