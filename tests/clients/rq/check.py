"""RQ: jobs in queues, priorities, dependencies, delays, registries, several workers at once.

It keeps results in streams: without them, jobs are those whose result nobody wants, and none may fail.
"""

import multiprocessing
import sys
from datetime import timedelta
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "redis-py"))
from shared import PATIENCE, connect, knows, refused, run, same  # noqa: E402

from jobs import fails, note  # noqa: E402

from rq import Queue, SimpleWorker, Worker  # noqa: E402
from rq.exceptions import NoSuchJobError  # noqa: E402
from rq.job import Job, JobStatus  # noqa: E402

JOBS = 60


def done():
    return [name.decode() for name in connect(db=1).lpop("done", 1_000) or []]


def work(*queues):
    SimpleWorker([Queue(name, connection=connect()) for name in queues], connection=connect()).work(
        burst=True, logging_level="CRITICAL"
    )


def unwanted(queue, name, **options):
    return queue.enqueue(note, name, result_ttl=0, **options)


def waits():
    r = connect()
    queue = Queue(connection=r)
    jobs = [unwanted(queue, str(number), description="a note") for number in range(5)]
    same((len(queue), queue.job_ids, Queue.all(connection=r)), (5, [job.id for job in jobs], [queue]))
    first = unwanted(queue, "first", at_front=True)
    same((queue.job_ids[0], queue.get_job_position(jobs[4].id), first.get_status()), (first.id, 5, JobStatus.QUEUED))
    found = Job.fetch(jobs[1].id, connection=r)
    same((found.args, found.description, found.origin, found.result_ttl), (("1",), "a note", "default", 0))
    found.meta["tries"] = 1
    found.save_meta()
    same(Job.fetch(found.id, connection=r).get_meta(), {"tries": 1})
    found.cancel()
    same((found.get_status(), found.id in queue.canceled_job_registry, len(queue)), (JobStatus.CANCELED, True, 5))
    found.delete()
    refused(NoSuchJobError, lambda: Job.fetch(found.id, connection=r))
    same(
        len(
            Queue("bulk", connection=r).enqueue_many(
                [Queue.prepare_data(note, (str(n),), result_ttl=0) for n in range(5)]
            )
        ),
        5,
    )


def is_done():
    r = connect()
    work("bulk", "default")
    # The one queue before the other, first come, first served.
    same(done(), ["0", "1", "2", "3", "4", "first", "0", "2", "3", "4"])
    same((Queue(connection=r).count, Worker.all(connection=r)), (0, []))
    same(sorted(r.keys("rq:job:*")), [])


def follows():
    r = connect()
    queue = Queue(connection=r)
    first = unwanted(queue, "first")
    second = unwanted(queue, "second", depends_on=first)
    unwanted(queue, "third", depends_on=[first, second])
    same((len(queue), len(queue.deferred_job_registry), second.get_status()), (1, 2, JobStatus.DEFERRED))
    work("default")
    same((done(), len(queue), len(queue.deferred_job_registry)), (["first", "second", "third"], 0, 0))


def is_scheduled():
    r = connect()
    queue = Queue(connection=r)
    job = queue.enqueue_in(timedelta(hours=1), note, "later", result_ttl=0)
    registry = queue.scheduled_job_registry
    same((len(queue), registry.get_job_ids(), job.get_status()), (0, [job.id], JobStatus.SCHEDULED))
    same(3_500 < (registry.get_scheduled_time(job) - job.created_at).total_seconds() < 3_700, True)
    same(registry.get_jobs_to_schedule(timestamp=0), [])
    registry.remove(job, delete_job=True)
    same((len(registry), r.exists(job.key)), (0, 0))


def by_several():
    r = connect()
    queue = Queue(connection=r)
    for number in range(JOBS):
        unwanted(queue, str(number))
    workers = [multiprocessing.Process(target=work, args=("default",)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(4 * PATIENCE)
    same([worker.exitcode for worker in workers], [0] * 3)
    same((sorted(map(int, done())), len(queue), Worker.count(connection=r)), (list(range(JOBS)), 0, 0))
    same(queue.started_job_registry.count, 0)


def results_and_failures():
    r = connect()
    queue = Queue(connection=r)
    kept, broken = queue.enqueue(note, "kept", result_ttl=500), queue.enqueue(fails)
    work("default")
    same(
        (kept.return_value(refresh=True), kept.get_status(), 400 < r.ttl(kept.key) <= 500),
        ("kept", JobStatus.FINISHED, True),
    )
    same((broken.get_status(), broken.id in queue.failed_job_registry), (JobStatus.FAILED, True))
    assert "as it should" in broken.latest_result().exc_string
    queue.failed_job_registry.requeue(broken.id)
    same((broken.get_status(), queue.job_ids), (JobStatus.QUEUED, [broken.id]))


# Processes of their own begin where this one is.
multiprocessing.set_start_method("fork")
run(waits, is_done, follows, is_scheduled, by_several, *([results_and_failures] if knows("xadd") else []))
