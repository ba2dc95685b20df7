"""An HTTP server that lets a request through where oauthlib finds its OAuth 1.0 signature good.

It prints its port, and takes its secrets from a JSON file: consumer_key, consumer_secret, token, token_secret, public_key.
"""

import http.server
import json
import sys

from oauthlib.oauth1 import RequestValidator, ResourceEndpoint
from oauthlib.oauth1.rfc5849 import SIGNATURE_HMAC_SHA1, SIGNATURE_HMAC_SHA256, SIGNATURE_RSA_SHA1


class Validator(RequestValidator):
    def __init__(self, known):
        super().__init__()
        self.known = known
        self.seen = set()

    allowed_signature_methods = (SIGNATURE_HMAC_SHA1, SIGNATURE_HMAC_SHA256, SIGNATURE_RSA_SHA1)
    enforce_ssl = False
    dummy_client = "dummy"
    dummy_access_token = "dummy"

    def check_client_key(self, key):
        return True

    check_access_token = check_nonce = check_client_key

    def validate_client_key(self, key, request):
        return key == self.known["consumer_key"]

    def validate_access_token(self, key, token, request):
        return token == self.known["token"]

    def validate_timestamp_and_nonce(self, key, timestamp, nonce, request, request_token=None, access_token=None):
        fresh = (timestamp, nonce) not in self.seen
        self.seen.add((timestamp, nonce))
        return fresh

    def validate_realms(self, key, token, request, uri=None, realms=None):
        return True

    def get_client_secret(self, key, request):
        return self.known["consumer_secret"]

    def get_access_token_secret(self, key, token, request):
        return self.known["token_secret"]

    def get_rsa_key(self, key, request):
        return self.known["public_key"]


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode("latin-1")
        uri = "http://" + self.headers["Host"] + self.path
        good, _ = self.server.endpoint.validate_protected_resource_request(
            uri, self.command, body, dict(self.headers))
        self.send_response(200 if good else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *args):
        pass


with open(sys.argv[1]) as file:
    known = json.load(file)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.endpoint = ResourceEndpoint(Validator(known))
print(server.server_port, flush=True)
server.serve_forever()
