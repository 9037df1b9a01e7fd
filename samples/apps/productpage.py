# SPDX-License-Identifier: Apache-2.0
"""Bookinfo's product page: HTML made of what details and reviews answer.

/productpage   the page (as the user of the session cookie, see /login)
/login         POST username=NAME: sets the session cookie; its name travels on as the header end-user
/logout        forgets it
/api/v1/products[/ID[/reviews|/ratings]]   the same data as JSON
Reviews get 3 s, twice: the original's hard-wired timeout that the fault-injection tutorial uncovers."""
import html

import web

BOOK = {"id": 0, "title": "The Comedy of Errors",
        "descriptionHtml": "An early comedy by William Shakespeare, his shortest, built on twins and mistaken identity."}
REVIEWS_TIMEOUT_S = 3.0
REVIEWS_TRIES = 2


def journey(request):
    headers = request.journey()
    if user := request.cookie("session_user"):
        headers["end-user"] = user
    return headers


def fetch(service, path, headers, timeout_s, tries=1):
    """(status, value): what the service answered, or 500 and the sentence the page shows instead."""
    host, port = web.service_address(service)
    failure = None
    for _ in range(tries):
        try:
            return 200, web.call(host, port, path, headers, timeout_s)
        except web.CallFailed as error:
            failure = error
    status = failure.status or 500
    return status, {"error": f"Sorry, product {service} are currently unavailable for this book."}


def details(product, headers):
    return fetch("details", f"/details/{product}", headers, REVIEWS_TIMEOUT_S)


def reviews(product, headers):
    return fetch("reviews", f"/reviews/{product}", headers, REVIEWS_TIMEOUT_S, REVIEWS_TRIES)


def stars_html(rating):
    if "error" in rating:
        return f"<em>{html.escape(rating['error'])}</em>"
    count = max(0, min(5, int(rating["stars"])))
    colour = html.escape(rating["color"])
    full = f'<span class="glyphicon glyphicon-star" style="color:{colour}">&#9733;</span>' * count
    empty = '<span class="glyphicon glyphicon-star-empty">&#9734;</span>' * (5 - count)
    return f'<font color="{colour}">{full}{empty}</font>'


def details_html(status, value):
    if status != 200:
        return "<h4>Error fetching product details!</h4><p>" + html.escape(value["error"]) + "</p>"
    rows = (("Type", "type"), ("Pages", "pages"), ("Publisher", "publisher"), ("Language", "language"),
            ("ISBN-10", "ISBN-10"), ("ISBN-13", "ISBN-13"))
    cells = "".join(f"<dt>{label}:</dt><dd>{html.escape(str(value.get(key, '')))}</dd>" for label, key in rows)
    return f"<h4>Book Details</h4><dl>{cells}</dl>"


def reviews_html(status, value):
    if status != 200:
        return "<h4>Error fetching product reviews!</h4><p>" + html.escape(value["error"]) + "</p>"
    blocks = []
    for review in value["reviews"]:
        stars = stars_html(review["rating"]) if "rating" in review else ""
        blocks.append(f"<blockquote><p>{html.escape(review['text'])}</p><small>{html.escape(review['reviewer'])}</small>"
                      f"{stars}</blockquote>")
    served = f"<p>Reviews served by: <u>{html.escape(value['podname'])}</u></p>"
    return "<h4>Book Reviews</h4>" + "".join(blocks) + served


def page(request):
    headers = journey(request)
    user = request.cookie("session_user")
    session = (f'{html.escape(user)} (<a href="/logout">sign out</a>)' if user else
               '<form method="post" action="/login"><input name="username"><input type="submit" value="Sign in"></form>')
    return web.Reply(200, (
        "<!DOCTYPE html><html><head><title>Simple Bookstore App</title></head><body>"
        f"<div>BookInfo Sample {session}</div><h3>{BOOK['title']}</h3><p>Summary: {BOOK['descriptionHtml']}</p>"
        f"{details_html(*details(0, headers))}{reviews_html(*reviews(0, headers))}</body></html>"), "text/html; charset=utf-8")


def api(request, parts):
    headers = journey(request)
    if not parts:
        return web.json_reply([BOOK])
    if not parts[0].isdigit() or int(parts[0]) != 0:
        return web.json_reply({"error": "no such product"}, 404)
    if len(parts) == 1:
        status, value = details(0, headers)
    elif parts[1] == "reviews":
        status, value = reviews(0, headers)
    elif parts[1] == "ratings":
        status, value = fetch("ratings", "/ratings/0", headers, REVIEWS_TIMEOUT_S)
    else:
        return web.json_reply({"error": "not found"}, 404)
    return web.json_reply(value, status)


def to_page(cookie):
    return web.Reply(302, b"", "text/html", [("location", "/productpage"), ("set-cookie", cookie)])


def route(request):
    if request.path == "/health":
        return web.Reply(200, "Product page is healthy", "text/plain")
    if request.path in ("/productpage", "/", "/index.html"):
        return page(request)
    if request.path == "/login" and request.method == "POST":
        user = "".join(c for c in request.form().get("username", "") if c.isalnum() or c in "-_.")
        return to_page(f"session_user={user}; Path=/; HttpOnly")
    if request.path == "/logout":
        return to_page("session_user=; Path=/; Max-Age=0")
    if request.path.startswith("/api/v1/products"):
        return api(request, [p for p in request.path[len("/api/v1/products"):].split("/") if p])
    return web.json_reply({"error": "not found"}, 404)


if __name__ == "__main__":
    web.serve(web.port_argument(), route, "productpage")
