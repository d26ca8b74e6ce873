#!/usr/bin/env python3
"""Writes what botocore signs and where it sends, for test_sign.c, test_msk.c and test_endpoint.c.

    python3 -m venv V && V/bin/pip install botocore
    V/bin/python tests/unit/aws/make_golden.py            # rewrites the files beside it
    V/bin/python tests/unit/aws/make_golden.py --check    # 1 where they would change

Requests are random but seeded. Fields are separated by tabs, lines by newlines; bytes that would
disturb that are percent-encoded.
"""
import datetime
import os
import random
import sys
from unittest import mock

import botocore.auth
import botocore.loaders
import botocore.endpoint_provider
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from urllib.parse import quote

HERE = os.path.dirname(os.path.abspath(__file__))
TEXT = "abcXYZ019-._~ !'()*+,:;=@$&/%#?äß€😀\"<>"


def text(rng, low, high, letters=TEXT):
    return "".join(rng.choice(letters) for _ in range(rng.randint(low, high)))


def sign_at(now, signer, request):
    fixed = mock.Mock(wraps=datetime.datetime)
    fixed.utcnow.return_value = now
    fixed.now.return_value = now.replace(tzinfo=datetime.timezone.utc)
    with mock.patch("botocore.auth.get_current_datetime", return_value=now, create=True), \
            mock.patch("botocore.auth.datetime", mock.Mock(datetime=fixed)):
        signer.add_auth(request)


def signature(rng):
    """One request, as the fields of a line; the last is the Authorization header."""
    service = rng.choice(["dynamodb", "s3", "sts"])
    region = rng.choice(["us-east-1", "eu-central-1", "us-gov-west-1", "cn-north-1"])
    now = datetime.datetime(2020 + rng.randint(0, 9), rng.randint(1, 12), rng.randint(1, 28),
                            rng.randint(0, 23), rng.randint(0, 59), rng.randint(0, 59))
    token = text(rng, 1, 80, "abcdef0123+/=") if rng.random() < 0.5 else ""
    keys = Credentials(text(rng, 16, 20, "ABCDEF0123"), text(rng, 1, 90, "abcd+/0123"), token or None)
    body = text(rng, 0, 60).encode()
    headers, path, query, payload = {}, "/", [], "signed"
    if service == "dynamodb":
        method = "POST"
        headers["content-type"] = "application/x-amz-json-1.0"
        headers["x-amz-target"] = "DynamoDB_20120810." + text(rng, 1, 20, "abcXYZ")
    elif service == "sts":
        method = "POST"
        headers["content-type"] = "application/x-www-form-urlencoded"
    else:
        method = rng.choice(["GET", "PUT", "POST", "DELETE", "HEAD"])
        path = "/" + text(rng, 0, 30)
        for name in rng.sample(["uploads", "uploadId", "partNumber", "list-type", "prefix", "key-marker"],
                               rng.randint(0, 4)):
            query.append((name, text(rng, 0, 20)))
        for name in rng.sample(["x-amz-meta-a", "x-amz-acl", "x-amz-checksum-crc32c", "content-type"],
                               rng.randint(0, 4)):
            headers[name] = text(rng, 1, 20, "abc  =/+;,")
        if rng.random() < 0.3:
            payload = "unsigned"
    host = text(rng, 1, 10, "abc-") + ".example.com"
    if rng.random() < 0.2:
        host += ":8443"
    encoded = quote(path, safe="/-._~")
    url = "https://" + host + encoded
    params = {k: v for k, v in query}
    request = AWSRequest(method=method, url=url, headers=dict(headers), data=body, params=params)
    signer = (botocore.auth.S3SigV4Auth if service == "s3" else botocore.auth.SigV4Auth)(keys, service, region)
    if payload == "unsigned":
        request.context["client_config"] = mock.Mock(s3={"payload_signing_enabled": False})
    sign_at(now, signer, request)
    assert request.headers["X-Amz-Date"] == now.strftime("%Y%m%dT%H%M%SZ"), request.headers["X-Amz-Date"]
    field = lambda s: quote(s, safe=" +/=;,:.-")
    pairs = lambda items: "&".join(field(k) + "=" + field(v).replace("=", "%3D") for k, v in items)
    return [service, region, request.headers["X-Amz-Date"], keys.access_key, keys.secret_key, token, method,
            host, field(path), pairs(query), pairs(headers.items()), field(body.decode()), payload,
            request.headers["Authorization"]]


def signatures():
    rng = random.Random(20261121)
    return ["\t".join(signature(rng)) for _ in range(500)]


def token(rng):
    """The URL that MSK's tokens are made of: its documentation says what is in it, botocore signs."""
    region = rng.choice(["us-east-1", "eu-central-1", "us-gov-west-1", "cn-north-1"])
    now = datetime.datetime(2020 + rng.randint(0, 9), rng.randint(1, 12), rng.randint(1, 28),
                            rng.randint(0, 23), rng.randint(0, 59), rng.randint(0, 59))
    session = text(rng, 1, 400, "abcdefXYZ0123+/=") if rng.random() < 0.7 else ""
    keys = Credentials(text(rng, 16, 20, "ABCDEF0123"), text(rng, 1, 90, "abcd+/0123"), session or None)
    request = AWSRequest(method="GET", url=f"https://kafka.{region}.amazonaws.com/",
                         params={"Action": "kafka-cluster:Connect"})
    signer = botocore.auth.SigV4QueryAuth(keys, "kafka-cluster", region, expires=900)
    sign_at(now, signer, request)
    head, query = request.url.split("?")
    # In any order in a URL; ours are in the order of the signature, which comes last.
    fields = sorted(part for part in query.split("&") if not part.startswith("X-Amz-Signature="))
    last = next(part for part in query.split("&") if part.startswith("X-Amz-Signature="))
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    assert f"X-Amz-Date={stamp}" in fields, fields
    epoch = int(now.replace(tzinfo=datetime.timezone.utc).timestamp())
    return [region, str(epoch), keys.access_key, keys.secret_key, session, head + "?" + "&".join(fields + [last])]


def tokens():
    rng = random.Random(20261126)
    return ["\t".join(token(rng)) for _ in range(100)]


def endpoints():
    loader = botocore.loaders.Loader()
    partitions = loader.load_data("partitions")
    lines = []
    for service, model in (("dynamodb", "dynamodb"), ("streams", "dynamodbstreams"), ("s3", "s3"), ("sts", "sts")):
        rules = loader.load_service_model(model, "endpoint-rule-set-1")
        provider = botocore.endpoint_provider.EndpointProvider(rules, partitions)
        for region in ("us-east-1", "eu-west-1", "ap-southeast-2", "cn-north-1", "us-gov-west-1",
                       "us-gov-east-1", "eusc-de-east-1", "us-iso-east-1", "us-isob-east-1",
                       "eu-isoe-west-1", "us-isof-south-1"):
            for fips in (False, True):
                for dual in (False, True):
                    given = {"Region": region, "UseFIPS": fips, "UseDualStack": dual}
                    try:
                        url = provider.resolve_endpoint(**given).url
                    except Exception:  # a combination that the partition does not have
                        continue
                    lines.append("\t".join([service, region, str(int(fips)), str(int(dual)), url]))
    return lines


def main():
    same = True
    for name, lines in (("signatures.tsv", signatures()), ("tokens.tsv", tokens()),
                        ("endpoints.tsv", endpoints())):
        path, content = os.path.join(HERE, name), "\n".join(lines) + "\n"
        if "--check" in sys.argv[1:]:
            same = same and open(path, encoding="utf-8").read() == content
        else:
            open(path, "w", encoding="utf-8").write(content)
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
