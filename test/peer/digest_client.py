"""A Digest client after RFC 7616 on Python's standard library, for the tests beside it: it shares nothing with ours.

Reads a job as JSON from standard input, writes what came of each step as JSON to standard output:

  { "port", "host", "caFile", "tls": "1.2" | "1.3", "username", "password",
    "steps": [ { "method", "path", "algorithm", "qop", "body"?, "contentType"?, "claim"? } ] }

One connection. The first step of an algorithm is challenged first; later ones use the same nonce, nc counting up.
"claim" is a body to compute the response over in place of the one that is sent.

With "urllib": true the one step goes through urllib.request.HTTPDigestAuthHandler instead.
"""

import hashlib
import http.client
import json
import re
import secrets
import socket
import ssl
import sys
import urllib.error
import urllib.request

HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
PARAMETER = re.compile(r'([\w-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')


def parameters(header):
    return {
        name.lower(): re.sub(r"\\(.)", r"\1", quoted) if bare == "" else bare
        for name, quoted, bare in PARAMETER.findall(header)
    }


class LoopbackConnection(http.client.HTTPSConnection):
    """Speaks to the host by its name and connects to this machine."""

    port_here = 0

    def connect(self):
        plain = socket.create_connection(("127.0.0.1", self.port_here), timeout=10)
        self.sock = self._context.wrap_socket(plain, server_hostname=self.host)


def context_of(job):
    context = ssl.create_default_context(cafile=job["caFile"])
    version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[job["tls"]]
    context.minimum_version = context.maximum_version = version
    return context


class DigestClient:
    def __init__(self, job):
        self.username = job["username"]
        self.password = job["password"]
        self.connection = LoopbackConnection(job["host"], context=context_of(job))
        self.challenges = {}

    def send(self, method, path, body=None, headers=None):
        self.connection.request(method, path, body=body, headers=headers or {})
        answer = self.connection.getresponse()
        content = answer.read()
        for header in answer.headers.get_all("WWW-Authenticate", []):
            scheme, _, rest = header.partition(" ")
            assert scheme == "Digest", header
            challenge = parameters(rest)
            self.challenges[challenge.get("algorithm", "MD5")] = {**challenge, "count": 0}
        return answer, content

    def step(self, step):
        method, path, algorithm, qop = step["method"], step["path"], step["algorithm"], step["qop"]
        body = step["body"].encode() if "body" in step else None
        if algorithm not in self.challenges:
            answer, _ = self.send(method, path, b"" if body is not None else None)
            assert answer.status == 401, answer.status
        challenge = self.challenges[algorithm]
        assert qop in challenge["qop"].split(","), challenge["qop"]
        challenge["count"] += 1
        nc, cnonce = "%08x" % challenge["count"], secrets.token_hex(16)

        def digest(*parts):
            return HASHES[algorithm](":".join(parts).encode()).hexdigest()

        def response(verb, covered, protection, count):
            a2 = [verb, path]
            if protection == "auth-int":
                a2.append(HASHES[algorithm](covered).hexdigest())
            ha1 = digest(self.username, challenge["realm"], self.password)
            return digest(ha1, challenge["nonce"], count, cnonce, protection, digest(*a2))

        claimed = step["claim"].encode() if "claim" in step else body or b""
        authorization = (
            f'Digest username="{self.username}", realm="{challenge["realm"]}", nonce="{challenge["nonce"]}", '
            f'uri="{path}", algorithm={algorithm}, qop={qop}, nc={nc}, cnonce="{cnonce}", '
            f'response="{response(method, claimed, qop, nc)}", opaque="{challenge["opaque"]}"'
        )
        headers = {"Authorization": authorization}
        if "contentType" in step:
            headers["Content-Type"] = step["contentType"]
        answer, content = self.send(method, path, body, headers)
        info = parameters(answer.headers.get("Authentication-Info", ""))
        proof = response("", content, info["qop"], info["nc"]) if "rspauth" in info else None
        return {
            "status": answer.status,
            "body": content.decode(),
            "cipher": self.connection.sock.cipher()[0],
            "nc": nc,
            "rspauth": info.get("rspauth"),
            "expected": proof,
            "overAnotherBody": response("", content + b"x", info["qop"], info["nc"]) if proof else None,
            "echoed": {name: info[name] for name in ("qop", "nc") if name in info},
            "sameCnonce": info.get("cnonce") == cnonce,
        }


class LoopbackHandler(urllib.request.HTTPSHandler):
    def https_open(self, request):
        return self.do_open(LoopbackConnection, request, context=self._context)


def through_urllib(job, step):
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    url = f'https://{job["host"]}{step["path"]}'
    passwords.add_password(None, f'https://{job["host"]}/', job["username"], job["password"])
    handlers = [LoopbackHandler(context=context_of(job)), urllib.request.HTTPDigestAuthHandler(passwords)]
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), *handlers)
    try:
        with opener.open(urllib.request.Request(url, method=step["method"]), timeout=10) as answer:
            return {"status": answer.status, "body": answer.read().decode()}
    except urllib.error.HTTPError as error:
        return {"status": error.code, "body": error.read().decode()}


def main():
    job = json.load(sys.stdin)
    LoopbackConnection.port_here = job["port"]
    if job.get("urllib"):
        outcome = [through_urllib(job, step) for step in job["steps"]]
    else:
        client = DigestClient(job)
        outcome = [client.step(step) for step in job["steps"]]
    json.dump(outcome, sys.stdout)


main()
