-- One and the same look-up, again and again (see bench.py).
wrk.method = "POST"
wrk.path = os.getenv("LOOKUP_TARGET")
wrk.body = os.getenv("LOOKUP_BODY")
wrk.headers["content-type"] = "application/json"
wrk.headers["authorization"] = "Bearer " .. os.getenv("LOOKUP_TOKEN")
