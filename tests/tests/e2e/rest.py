"""A job's whole way over the REST API, with nothing but the standard library: from outside, or from inside a job."""
import gzip, hashlib, http.client, io, json, os, tarfile, threading, uuid
from urllib.parse import urlsplit

URL = urlsplit(os.environ["ATLAS_URL"])
TOKEN = os.environ.get("ATLAS_TOKEN")
WHO = {"authorization": f"Bearer {TOKEN}"} if TOKEN else {"x-atlas-user": "ada"}
SCRIPT = """import os
print("héllo", os.environ["ATLAS_USER"], flush=True)
os.makedirs("out")
open("out/r.bin", "wb").write(bytes(range(256)))
raise SystemExit(3)
""".encode()


def ask(method, path, body=None, **headers):
    connection = http.client.HTTPConnection(URL.netloc, timeout=60)
    if isinstance(body, (dict, list)):
        body, headers["content-type"] = json.dumps(body), "application/json"
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, f"/api/v1{path}", body, {**WHO, **headers})
    return connection.getresponse()


def answer(status, *args, **headers):
    response = ask(*args, **headers)
    body = response.read()
    assert response.status == status, (args[:2], response.status, body)
    return body


def bundle():
    tar, entry = io.BytesIO(), tarfile.TarInfo("main.py")
    entry.size = len(SCRIPT)
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(entry, io.BytesIO(SCRIPT))
    tar = tar.getvalue()
    name = hashlib.sha256(tar).hexdigest()
    upload, data = f"/bundles/{name}/uploads/{uuid.uuid4()}", gzip.compress(tar)
    said = json.loads(answer(200, "POST", f"{upload}?bytes={len(data)}"))
    if not said["known"]:
        for at in range(said["offset"], len(data), 100):
            answer(200, "PATCH", f"{upload}?offset={at}", data[at : at + 100])
        answer(200, "POST", f"{upload}/finish")
    return {"id": name, "tar_bytes": len(tar), "files": 1}


def listen(events, phases):
    """Hears what becomes of a job until it is done."""
    event = None
    for line in events:
        name, _, value = line.decode().strip().partition(": ")
        if name == "event":
            event = value
        elif name == "data" and event == "job":
            phases.append(json.loads(value)["phase"])
            if phases[-1] == "done":
                return


phases = []
listener = threading.Thread(target=listen, args=(ask("GET", "/events?project=by-rest"), phases))
listener.start()
job = str(uuid.uuid4())
submission = {"id": job, "bundle": bundle(), "dir_name": "by-rest", "overrides": {"command": ["main.py"]}}
answer(201, "POST", "/jobs", submission)
assert json.loads(answer(200, "POST", "/jobs", submission))["created"] is False
follower = ask("GET", f"/jobs/{job}/log?follow=true")
followed = follower.read()
done = json.loads(answer(200, "GET", f"/jobs/{job[:8]}?wait=done&timeout_s=60"))
assert (done["phase"], done["status"], done["cause"]) == ("done", "failed", "exit-code 3"), done
assert followed.endswith("\nhéllo ada\n".encode()), followed
log = f"/jobs/{job}/log"
assert answer(200, "GET", log) == followed
assert answer(206, "GET", log, range="bytes=-4") == b"ada\n"
assert answer(200, "GET", f"{log}?offset={len(followed) - 4}") == b"ada\n"
head = ask("HEAD", log)
assert (head.read(), head.headers["content-length"]) == (b"", str(len(followed)))
files = {it["path"] for it in json.loads(answer(200, "GET", f"/jobs/{job}/files"))["files"]}
assert {"source/main.py", "outputs/out/r.bin", "log/1.log"} <= files, files
assert answer(206, "GET", f"/jobs/{job}/files/outputs/out/r.bin", range="bytes=250-") == bytes(range(250, 256))
archive = tarfile.open(fileobj=io.BytesIO(answer(200, "GET", f"/jobs/{job}/archive?format=tgz")))
assert archive.extractfile("source/main.py").read() == SCRIPT
listener.join()
assert phases[-1] == "done", phases
answer(200, "DELETE", f"/jobs/{job}")
answer(404, "GET", f"/jobs/{job}")
print("all of it")
