"""Lets a user agree to a made server, as the user's browser would, then calls it as a client.

authorize.py PACKAGE SCHEME PORT

Serves the API with its token server at that port. The code is given for the challenge (PKCE S256) and
taken with its verifier alone; the first token ends at once, so that the first call has to renew it.
Prints `ok`.
"""

import asyncio
import base64
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlencode, urlsplit
from urllib.request import urlopen

from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

package, scheme, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
challenges, grants, tokens = {}, [], []


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self, code, value):
        body = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        sent = self.headers.get("authorization")
        tokens.append(sent)
        self.answer(200 if sent == "Bearer second" else 401, {"me": "known"})

    def do_POST(self):
        form = dict(parse_qsl(self.rfile.read(int(self.headers["content-length"])).decode()))
        grants.append(form["grant_type"])
        if form["grant_type"] == "refresh_token" and form["refresh_token"] == "renew":
            return self.answer(200, {"access_token": "second", "expires_in": 3600})
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        made = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if form.get("client_id") == "the-client" and challenges.get(form.get("code")) == made:
            return self.answer(200, {"access_token": "first", "expires_in": 30, "refresh_token": "renew"})
        return self.answer(400, {"error": "invalid_grant"})


def agree(env):
    """Runs `--authorize` and answers as the browser of a user who agrees, or does not."""
    command = [sys.executable, "server.py", "--authorize", scheme]
    running = subprocess.Popen(command, cwd=package, env=env, stderr=subprocess.PIPE, text=True)
    address = ""
    while not address.startswith("http"):
        address = running.stderr.readline().strip()
    asked = dict(parse_qsl(urlsplit(address).query))
    assert asked["code_challenge_method"] == "S256" and asked["client_id"] == "the-client", asked
    challenges["code"] = asked["code_challenge"]
    back = asked["redirect_uri"]
    # Somebody else's answer is none.
    with urlopen(f"{back}?{urlencode({'state': 'guessed', 'code': 'code'})}") as page:
        assert b"another request" in page.read()
    assert grants == [], grants
    with urlopen(f"{back}?{urlencode({'state': asked['state'], 'code': 'code'})}") as page:
        page.read()
    assert running.wait(30) == 0, running.stderr.read()


async def call(env):
    parameters = StdioServerParameters(command=sys.executable, args=["server.py"], env=env, cwd=package)
    with open(os.devnull, "w") as log:
        async with Client(stdio_client(parameters, errlog=log)) as client:
            return [await client.call_tool("me", {}) for _ in range(2)]


server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
with tempfile.TemporaryDirectory() as folder:
    file = os.path.join(folder, "token.json")
    prefix, base = scheme.upper(), f"http://127.0.0.1:{port}"
    env = {
        **os.environ, "PYTHONDONTWRITEBYTECODE": "1", "API_BASE_URL": base,
        f"{prefix}_CLIENT_ID": "the-client", f"{prefix}_TOKEN_FILE": file,
        "OAUTH2_TOKEN_URL": f"{base}/token", "OAUTH2_AUTHORIZATION_URL": f"{base}/agree",
    }
    # Before anybody agreed a call says what to do, and no request goes out.
    refused = asyncio.run(call(env))
    assert all(one.is_error and f"--authorize {scheme}" in one.content[0].text for one in refused), refused
    assert grants == [] and tokens == [], (grants, tokens)
    agree(env)
    assert os.stat(file).st_mode & 0o777 == 0o600
    told = asyncio.run(call(env))
    assert not any(one.is_error for one in told), told
    assert grants == ["authorization_code", "refresh_token"], grants
    assert tokens == ["Bearer second"] * 2, tokens
print("ok")
