"""A control plane that is ready and does nothing else."""
import argparse
import http.server

parser = argparse.ArgumentParser()
parser.add_argument("--monitoring-address")
args, _ = parser.parse_known_args()
host, port = args.monitoring_address.split(":")


class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()


http.server.HTTPServer((host, int(port)), Ready).serve_forever()
