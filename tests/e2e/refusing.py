"""An S3 server with one bucket, whose policy a test decides: it refuses actions as AWS does, in words
that name the action and the resource. Only what `sluice check` asks for; it keeps no object."""

import http.server
import threading
import urllib.parse
import uuid

WHO = "arn:aws:sts::123456789012:assumed-role/sluice-reader-production/botocore-session-1795657276"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/11111111-1111-1111-1111-111111111111"


def refusal(action, resource):
    return (f"User: {WHO} is not authorized to perform: {action} on resource: {resource} because no "
            f"identity-based policy allows the {action} action")


class Bucket(http.server.ThreadingHTTPServer):
    """`refused`: actions; `key_refused`: kms actions that the bucket's key refuses to who writes;
    `rules`: of its lifecycle, in XML, or an error's status and code."""

    daemon_threads = True

    def __init__(self, name="lake"):
        super().__init__(("127.0.0.1", 0), Handler)
        self.name, self.refused, self.key_refused = name, set(), set()
        self.rules = 404, "NoSuchLifecycleConfiguration"
        self.uploads, self.parts = {}, 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, text="", **headers):
        body = text.encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def error(self, status, code, message):
        text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        self.answer(status, "" if self.command == "HEAD" else text)

    def handle_call(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        _, bucket, *key = urllib.parse.unquote(url.path).split("/", 2)
        if bucket != self.server.name:
            self.error(404, "NoSuchBucket", "The specified bucket does not exist")
            return
        action, call = self.call(query, "".join(key))
        if action in self.server.refused:
            self.error(403, "AccessDenied", refusal(action, f"arn:aws:s3:::{bucket}/…"))
            return
        for needed in sorted(self.server.key_refused):
            if action == "s3:PutObject" and (needed == "kms:Decrypt") == ("partNumber" in query):
                self.error(403, "AccessDenied", refusal(needed, KEY))
                return
        call()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_call

    def call(self, query, key):
        upload = query.get("uploadId")
        if self.command == "POST" and "uploads" in query:
            return "s3:PutObject", lambda: self.begin(key)
        if self.command == "PUT" and "partNumber" in query:
            return "s3:PutObject", lambda: self.part(upload)
        if self.command == "GET" and upload:
            return "s3:ListMultipartUploadParts", lambda: self.of_upload(
                upload, "<ListPartsResult><IsTruncated>false</IsTruncated></ListPartsResult>")
        if self.command == "DELETE" and upload:
            return "s3:AbortMultipartUpload", lambda: self.abort(upload)
        if self.command == "GET" and "uploads" in query:
            return "s3:ListBucketMultipartUploads", lambda: self.answer(
                200, "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>"
                     "</ListMultipartUploadsResult>")
        if self.command == "GET" and "lifecycle" in query:
            return "s3:GetLifecycleConfiguration", self.lifecycle
        if self.command == "HEAD" and not key:
            return "s3:ListBucket", lambda: self.answer(200)
        if self.command == "HEAD":
            return "s3:GetObject", lambda: self.answer(404)
        return "?", lambda: self.error(400, "InvalidRequest", self.requestline)

    def lifecycle(self):
        if isinstance(self.server.rules, str):
            self.answer(200, f"<LifecycleConfiguration>{self.server.rules}</LifecycleConfiguration>")
        else:
            self.error(*self.server.rules, "not here")

    def begin(self, key):
        upload = uuid.uuid4().hex
        self.server.uploads[upload] = key
        self.answer(200, "<InitiateMultipartUploadResult><UploadId>" + upload +
                         "</UploadId></InitiateMultipartUploadResult>")

    def of_upload(self, upload, body="", status=200, **headers):
        if upload in self.server.uploads:
            self.answer(status, body, **headers)
        else:
            self.error(404, "NoSuchUpload", "The specified upload does not exist.")

    def part(self, upload):
        self.server.parts += 1
        self.of_upload(upload, ETag='"0123456789abcdef"')

    def abort(self, upload):
        self.of_upload(upload, status=204)
        self.server.uploads.pop(upload, None)

    def log_message(self, *_):
        pass
