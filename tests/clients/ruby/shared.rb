# What the checks in Ruby need. Each is called with a port and the path of a Unix socket; it may print RESTART when the
# server is to be started again, and then waits for a line.

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

# Whether the server has the command: what a library does by others is checked once they are there.
def knows(name)
  !connect.call("COMMAND", "LIST", "FILTERBY", "PATTERN", name).empty?
end

def run(*checks)
  checks.each do |check|
    send(check)
    puts check
  end
  puts "DONE"
end
