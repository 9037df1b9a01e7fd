# SPDX-License-Identifier: Apache-2.0
"""Bookinfo's reviews service. v1 shows no stars, v2 black ones, v3 red ones (ENABLE_RATINGS, STAR_COLOR);
stars come from the ratings service, waited for 10 s with black stars' versions as in the original."""
import os
import socket

import web

RATINGS_TIMEOUT_S = 10.0
REVIEWS = (
    ("Reviewer1", "A comedy of errors in love, told with wit on every page."),
    ("Reviewer2", "Fun and entertaining, though the plot leans on chance where it could lean on its people."),
)


def rating(stars, colour):
    if stars is None:
        return {"error": "Ratings service is currently unavailable"}
    return {"stars": stars, "color": colour}


def route(request):
    if request.path == "/health":
        return web.json_reply({"status": "Reviews is healthy"})
    parts = request.path.strip("/").split("/")
    if len(parts) != 2 or parts[0] != "reviews" or not parts[1].isdigit():
        return web.json_reply({"error": "not found"}, 404)
    with_ratings = os.environ.get("ENABLE_RATINGS", "false") == "true"
    stars = {}
    if with_ratings:
        host, port = web.service_address("ratings")
        try:
            stars = web.call(host, port, f"/ratings/{parts[1]}", request.journey(), RATINGS_TIMEOUT_S)["ratings"]
        except web.CallFailed:
            stars = None
    reviews = []
    for reviewer, text in REVIEWS:
        review = {"reviewer": reviewer, "text": text}
        if with_ratings:
            found = None if stars is None else stars.get(reviewer, -1)
            review["rating"] = rating(found, os.environ.get("STAR_COLOR", "black"))
        reviews.append(review)
    return web.json_reply({
        "id": parts[1], "podname": os.environ.get("HOSTNAME", socket.gethostname()),
        "clustername": os.environ.get("CLUSTER_NAME", "null"), "reviews": reviews})


if __name__ == "__main__":
    web.serve(web.port_argument(), route, "reviews")
