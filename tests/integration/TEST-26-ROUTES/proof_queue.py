# SPDX-License-Identifier: LGPL-2.1-or-later
from proof import proof, sandbox
from sandboxd import Sandbox, api, eq, status_of, wait_for

UNKNOWN = "job_" + "0" * 24


def submit(command, s=None, **more):
    return (s or sandbox()).post("/exec/queue", {"command": command, **more})["id"]


def state(job):
    return api("GET", f"/queue/{job}/status")


def wait_state(job, wanted):
    return wait_for(f"the job is {wanted}", lambda: state(job)["status"] == wanted and state(job), 20)


def dead_letter(s=None):
    job = submit("sleep 100", s, timeout=1, maxRetries=1)
    wait_state(job, "failed")
    return job


@proof("POST /sandboxes/:id/exec/queue")
def queue(p):
    s = sandbox()
    job = p.good({"command": "echo x >>/workspace/by-queue; exit 3"}, id=s.id)
    eq((job["status"], job["maxRetries"]), ("pending", 3))
    eq(wait_state(job["id"], "completed")["result"]["exitCode"], 3)
    p.effect("it ran, once", s.get_raw("/workspace/by-queue") == b"x\n")
    p.bad(400, {"command": ""}, id=s.id)


@proof("GET /queue/:jobId/status")
def status(p):
    job = submit("until [ -e /workspace/go-on ]; do sleep 0.01; done; rm /workspace/go-on; echo said")
    wait_for("it runs", lambda: p.good(jobId=job)["status"] == "running")
    sandbox().post("/files/write", {"path": "go-on", "content": ""})
    wait_for("it is done", lambda: p.good(jobId=job)["status"] == "completed")
    p.effect("what a job has said", p.good(jobId=job)["result"]["stdout"] == "said\n")
    p.bad(404, jobId=UNKNOWN)


@proof("POST /queue/:jobId/cancel")
def cancel(p):
    job = submit("exec sleep 4713")
    wait_state(job, "running")
    eq(p.good(jobId=job), {"cancelled": job})
    wait_for("its process is gone", lambda: "sleep 4713" not in [
        x["command"] for x in api("GET", sandbox().path + "/processes")["processes"]])
    p.effect("its process is gone", state(job)["status"] == "cancelled", state(job))
    p.bad(409, jobId=job)


@proof("POST /queue/:jobId/requeue")
def requeue(p):
    job = submit("test -e /workspace/ready || sleep 100", timeout=1, maxRetries=1)
    wait_state(job, "failed")
    sandbox().post("/files/write", {"path": "ready", "content": ""})
    p.good(jobId=job)
    p.effect("it ran again", wait_state(job, "completed")["result"]["exitCode"] == 0)
    p.bad(409, jobId=job)


@proof("GET /queue")
def list_jobs(p):
    with Sandbox() as s:
        job = submit("true", s)
        listed = p.good(query=f"sandboxId={s.id}")["jobs"]
        p.effect("a job is listed", [j["id"] for j in listed] == [job], listed)
        wait_state(job, "completed")
    p.bad(400, query="status=none")


@proof("GET /queue/dlq")
def dead_letters(p):
    with Sandbox() as s:
        job = dead_letter(s)
        p.effect("a job that failed is there", [j["id"] for j in p.good(query=f"sandboxId={s.id}")["jobs"]] == [job])
    p.bad(400, query="limit=many")


@proof("DELETE /queue/dlq")
def purge(p):
    job = dead_letter()
    eq(p.good(query=f"id={job}")["purged"], 1)
    p.effect("it is known no more", status_of("GET", f"/queue/{job}/status") == 404)
    p.bad(400, query="sandboxId=" + "x" * 65)
