# Sidekiq, unchanged: pushing, fetching, retries, heartbeats, and its view of queues and sets.
#
# It takes due jobs out of its sets by a script, and there are none yet: the poller is left out.

require_relative "shared"
require "sidekiq"
require "sidekiq/api"
require "sidekiq/launcher"

# It calls its library in ways that the library advises against.
Redis.silence_deprecations = true
Sidekiq.logger.level = Logger::FATAL
Sidekiq.configure_client do |config|
  config.redis = { url: "redis://127.0.0.1:#{PORT}/3", size: 15, network_timeout: PATIENCE }
end

DONE = Queue.new

class Works
  include Sidekiq::Worker

  def perform(number)
    DONE << number
  end
end

class Fails
  include Sidekiq::Worker
  sidekiq_options queue: "low", retry: 1
  sidekiq_retry_in { 3600 }

  def perform(*)
    raise ArgumentError, "as it should"
  end
end

def options(**more)
  found = { queues: %w[default low], concurrency: 5, timeout: PATIENCE, **more }
  found.merge(fetch: Sidekiq::BasicFetch.new(found))
end

# Threads that fetch and work, until what is to happen has happened.
def working(what)
  manager = Sidekiq::Manager.new(options)
  manager.start
  eventually(what) { yield }
ensure
  manager.stop(Process.clock_gettime(Process::CLOCK_MONOTONIC) + PATIENCE)
end

def all_done
  Array.new(DONE.size) { DONE.pop }.sort
end

def boots
  # What its command looks for before it starts.
  same Gem::Version.new(Sidekiq.redis_info["redis_version"]) >= Gem::Version.new("7.0.0"), true
  same Sidekiq.redis_info["maxmemory_policy"], "noeviction"
end

def pushes
  jid = Works.perform_async(1)
  same [jid.size, Sidekiq::Client.push("class" => "Works", "args" => [2], "queue" => "low").size], [24, 24]
  jids = Sidekiq::Client.push_bulk("class" => "Works", "args" => (3..200).map { |number| [number] })
  same [jids.uniq.size, Sidekiq::Queue.new.size, Sidekiq::Queue.all.map(&:name)], [198, 199, %w[default low]]
  queue = Sidekiq::Queue.new
  same queue.map { |job| job.args.first }, (3..200).to_a.reverse + [1]
  job = queue.find_job(jid)
  same [job.klass, job.args, queue.latency.between?(0, PATIENCE)], ["Works", [1], true]
  same [job.delete, queue.find_job(jid), queue.size], [true, nil, 198]
  stats = Sidekiq::Stats.new
  same [stats.enqueued, stats.queues, stats.processed], [199, { "default" => 198, "low" => 1 }, 0]
end

def fetches
  # In strict order, one at a time.
  fetch = Sidekiq::BasicFetch.new(queues: %w[low default], strict: true)
  unit = fetch.retrieve_work
  same [unit.queue_name, Sidekiq.load_json(unit.job)["args"], unit.acknowledge], ["low", [2], nil]
  unit.requeue
  same Sidekiq::Queue.new("low").size, 1
  units = Array.new(5) { fetch.retrieve_work }
  same units.map { |found| Sidekiq.load_json(found.job)["args"].first }, [2, 3, 4, 5, 6]
  fetch.bulk_requeue(units, {})
  same [Sidekiq::Queue.new("low").size, Sidekiq::Queue.new.size], [1, 198]
  working("all jobs to be done") { DONE.size == 199 }
  same all_done, (2..200).to_a
  same [fetch.retrieve_work, Sidekiq::Queue.new.size], [nil, 0]
end

def waits_for_work
  working("what comes while they wait") do
    eventually("all to wait") { connect.info("clients")["blocked_clients"] == "5" }
    10.times { |number| Works.perform_async(number) }
    eventually("it to be done") { DONE.size == 10 }
    true
  end
  same all_done, (0..9).to_a
end

def schedules
  now = Time.now.to_f
  jids = [3600, 7200].map { |seconds| Works.perform_in(seconds, seconds) }
  Works.perform_at(Time.now + 60, 60)
  numbers = (1..100).to_a
  Sidekiq::Client.push_bulk("class" => "Works", "args" => numbers.zip, "at" => numbers.map { |n| now + 10_000 + n })
  set = Sidekiq::ScheduledSet.new
  same [set.size, set.map { |entry| entry.args.first }], [103, numbers.reverse + [7200, 3600, 60]]
  entry = set.find_job(jids.first)
  same [entry.klass, (entry.at.to_f - now - 3600).abs < PATIENCE], ["Works", true]
  same [set.fetch(entry.score, entry.jid).size, set.fetch(now..now + 4000).map { |one| one.args.first }],
       [1, [60, 3600]]
  same set.scan(jids.last).map(&:jid), [jids.last]
  entry.reschedule(now + 30)
  same set.to_a.last.jid, jids.first
  same [set.find_job(jids.last).delete, set.size], [true, 102]
  set.find_job(jids.first).add_to_queue
  same [set.size, Sidekiq::Queue.new.map(&:jid)], [101, [jids.first]]
  set.clear
  same [set.size, Sidekiq::Queue.new.clear, Sidekiq::Queue.new.size], [0, [1, true], 0]
  # What is due, once there are scripts.
  set.schedule(now - 1, { "class" => "Works", "args" => [1], "queue" => "low", "jid" => "due" })
  if knows("evalsha")
    Sidekiq::Scheduled::Enq.new.enqueue_jobs
    same [set.size, Sidekiq::Queue.new("low").map(&:jid)], [0, ["due"]]
  else
    refused(Redis::CommandError, "ERR unknown command") { Sidekiq::Scheduled::Enq.new.enqueue_jobs }
  end
  [set, Sidekiq::Queue.new("low")].each(&:clear)
end

def retries
  jid = Fails.perform_async("x", { "a" => [1, nil] })
  set = Sidekiq::RetrySet.new
  working("the job to be tried again") { set.size == 1 }
  entry = set.find_job(jid)
  same [entry.error?, entry["error_class"], entry["error_message"], entry["retry_count"]],
       [true, "ArgumentError", "as it should", 0]
  same [entry.args, entry.queue, entry.at > Time.now + 3000], [["x", { "a" => [1, nil] }], "low", true]
  entry.add_to_queue
  same [set.size, Sidekiq::Queue.new("low").size], [0, 1]
  dead = Sidekiq::DeadSet.new
  working("the job to be dead") { dead.size == 1 }
  same [dead.find_job(jid)["retry_count"], set.size], [1, 0]
  Sidekiq::Launcher.flush_stats
  same [Sidekiq::Stats.new.dead_size, Sidekiq::Stats.new.failed, Sidekiq::Stats::History.new(1).failed.values],
       [1, 2, [2]]
  dead.retry_all
  same [dead.size, Sidekiq::Queue.new("low").first.jid], [0, jid]
  Sidekiq::Queue.new("low").clear
end

def heartbeats
  more = options(labels: ["checked"], tag: "shop")
  launcher = Sidekiq::Launcher.new(more)
  launcher.send(:heartbeat)
  processes = Sidekiq::ProcessSet.new
  same [processes.size, processes.total_concurrency, processes.map(&:tag), processes.first.labels],
       [1, 5, ["shop"], ["checked"]]
  same [processes.first.queues, processes.first.stopping?, Sidekiq::WorkSet.new.size], [%w[default low], false, 0]
  Sidekiq.redis { |redis| same redis.ttl(processes.first.identity).between?(50, 60), true }
  # A signal is a list, which the next beat takes from.
  processes.first.quiet!
  Sidekiq.redis { |redis| same redis.rpop("#{processes.first.identity}-signals"), "TSTP" }
  launcher.send(:clear_heartbeat)
  same Sidekiq::ProcessSet.new.size, 0
end

def survives
  Sidekiq::Client.push_bulk("class" => "Works", "args" => (1..300).map { |number| [number] })
  Works.perform_in(3600, 0)
  puts "RESTART"
  $stdin.gets
  same [Sidekiq::Queue.new.size, Sidekiq::ScheduledSet.new.size], [300, 1]
  working("all jobs to be done") { DONE.size == 300 }
  same all_done, (1..300).to_a
end

run(*%i[boots pushes fetches waits_for_work schedules retries heartbeats survives])
