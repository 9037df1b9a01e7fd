// SPDX-License-Identifier: Apache-2.0
// What an HTTP route of a VirtualService does besides choosing a destination. Istio's documented
// rules.
#include <algorithm>
#include <array>
#include <charconv>
#include <string>

#include "lib/config/grpc_codes.h"
#include "lib/config/validate_rules.h"

namespace meltemi::config {
namespace {

using namespace istio::networking::v1;

constexpr size_t kDirectBodyMax = 1024 * 1024;
constexpr double kLeastPercent = 0.0001;  // Envoy counts in millionths

// Envoy's names for x-envoy-retry-on and x-envoy-retry-grpc-on.
constexpr std::array<std::string_view, 16> kRetryConditions = {"5xx",
                                                               "gateway-error",
                                                               "reset",
                                                               "reset-before-request",
                                                               "connect-failure",
                                                               "envoy-ratelimited",
                                                               "retriable-4xx",
                                                               "refused-stream",
                                                               "retriable-status-codes",
                                                               "retriable-headers",
                                                               "http3-post-connect-failure",
                                                               "cancelled",
                                                               "deadline-exceeded",
                                                               "internal",
                                                               "resource-exhausted",
                                                               "unavailable"};

constexpr std::array<std::string_view, 10> kCorsMethods = {
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*"};

template <typename List>
bool Has(const List& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

bool IsHttpStatus(std::string_view text) {
  int status = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), status);
  return error == std::errc() && end == text.data() + text.size() && status >= 100 && status <= 599;
}

// The length of "%NAME%", "%NAME(arguments)%" or "%NAME(arguments):10%" at the front of `text`, or
// of an escaped "%%"; 0 when it is none.
size_t CommandLength(std::string_view text) {
  if (text.starts_with("%%")) return 2;
  size_t at = 1;
  const auto is_name = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  while (at < text.size() && is_name(text[at])) ++at;
  if (at == 1) return 0;
  if (at < text.size() && text[at] == '(') {
    at = text.find(')', at);
    if (at == std::string_view::npos) return 0;
    ++at;
  }
  if (at < text.size() && text[at] == ':') {
    ++at;
    while (at < text.size() && text[at] >= '0' && text[at] <= '9') ++at;
  }
  return at < text.size() && text[at] == '%' ? at + 1 : 0;
}

class HttpActionRules final {
 public:
  HttpActionRules(const HTTPRoute& route, const FieldPath& path, const Checker& check)
      : route_(route), path_(path), check_(check) {}

  void Check();

 private:
  void CheckOperations(const Headers::HeaderOperations& operations, const FieldPath& path,
                       bool is_request);
  void CheckHeaders(const Headers& headers, const FieldPath& path);
  void CheckHeaderValue(const FieldPath& path, const std::string& value);
  void CheckRedirect(const HTTPRedirect& redirect, const FieldPath& path);
  void CheckRewrite(const HTTPRewrite& rewrite, const FieldPath& path);
  void CheckDirectResponse(const HTTPDirectResponse& response, const FieldPath& path);
  void CheckRetries(const HTTPRetry& retries, const FieldPath& path);
  void CheckCors(const CorsPolicy& cors, const FieldPath& path);
  void CheckFault(const HTTPFaultInjection& fault, const FieldPath& path);
  void CheckFaultShare(const istio::networking::v1::Percent& share, const FieldPath& path);
  void CheckMirrors();

  const HTTPRoute& route_;
  const FieldPath& path_;
  const Checker& check_;
};

void HttpActionRules::CheckHeaderValue(const FieldPath& path, const std::string& value) {
  for (const char c : value) {
    if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7F) {
      return check_.Add(path, "a control character; expected printable text");
    }
  }
  for (size_t at = value.find('%'); at != std::string::npos; at = value.find('%', at)) {
    const size_t length = CommandLength(std::string_view(value).substr(at));
    if (length == 0) {
      return check_.Add(path,
                        "a % that begins no command; expected %% for the character, or one "
                        "such as %HOSTNAME%");
    }
    at += length;
  }
}

void HttpActionRules::CheckOperations(const Headers::HeaderOperations& operations,
                                      const FieldPath& path, bool is_request) {
  const auto check_name = [&](const FieldPath& at, std::string_view name, bool is_set) {
    const bool is_host = name == ":authority" || UpperCase(name) == "HOST";
    if (is_host && !(is_request && is_set)) {
      check_.Add(at, "this header cannot be changed here; expected another");
    } else if (!is_host) {
      check_.HeaderName(at, name);
    }
  };
  const auto check_values = [&](const auto& values, const FieldPath& at) {
    for (const auto& [name, value] : values) {
      check_name(at.Key(name), name, true);
      CheckHeaderValue(at.Key(name), value);
    }
  };
  check_values(operations.set(), path.Field("set"));
  check_values(operations.add(), path.Field("add"));
  const FieldPath remove = path.Field("remove");
  for (int i = 0; i < operations.remove_size(); ++i) {
    check_name(remove.Item(i), operations.remove(i), false);
  }
}

void HttpActionRules::CheckHeaders(const Headers& headers, const FieldPath& path) {
  CheckOperations(headers.request(), path.Field("request"), true);
  CheckOperations(headers.response(), path.Field("response"), false);
}

void HttpActionRules::CheckRedirect(const HTTPRedirect& redirect, const FieldPath& path) {
  const bool is_empty = redirect.uri().empty() && redirect.authority().empty() &&
                        redirect.scheme().empty() && redirect.prefix_rewrite().empty() &&
                        redirect.redirect_code() == 0 &&
                        redirect.redirect_port_case() == HTTPRedirect::REDIRECT_PORT_NOT_SET;
  if (is_empty) check_.Add(path, "changes nothing; expected uri, authority, scheme or port");
  if (!redirect.uri().empty() && !redirect.prefix_rewrite().empty()) {
    check_.Add(path.Field("prefixRewrite"), "beside uri; expected one of them");
  }
  const uint32_t code = redirect.redirect_code();
  if (code != 0 && (code < 300 || code > 399)) {
    check_.Add(path.Field("redirectCode"),
               "no redirect's status; expected 301, 302, 303, 307 or "
               "308");
  }
  if (!redirect.scheme().empty() && redirect.scheme() != "http" && redirect.scheme() != "https") {
    check_.Add(path.Field("scheme"), "unknown; expected http or https");
  }
}

void HttpActionRules::CheckRewrite(const HTTPRewrite& rewrite, const FieldPath& path) {
  const FieldPath regex = path.Field("uriRegexRewrite");
  if (rewrite.uri().empty() && rewrite.authority().empty() && !rewrite.has_uri_regex_rewrite()) {
    check_.Add(path, "changes nothing; expected uri, authority or uriRegexRewrite");
  }
  if (!rewrite.has_uri_regex_rewrite()) return;
  if (!rewrite.uri().empty()) check_.Add(regex, "beside uri; expected one of them");
  if (rewrite.uri_regex_rewrite().match().empty() ||
      rewrite.uri_regex_rewrite().rewrite().empty()) {
    check_.Add(regex, "incomplete; expected both match and rewrite");
  } else {
    check_.Regex(regex.Field("match"), rewrite.uri_regex_rewrite().match());
  }
}

void HttpActionRules::CheckDirectResponse(const HTTPDirectResponse& response,
                                          const FieldPath& path) {
  if (response.status() < 200 || response.status() > 600) {
    check_.Add(path.Field("status"), "no status of a response; expected 200 to 600");
  }
  const size_t bytes = response.body().string().size() + response.body().bytes().size();
  if (bytes > kDirectBodyMax) {
    check_.Add(path.Field("body"), std::to_string(bytes) + " bytes; expected at most " +
                                       std::to_string(kDirectBodyMax));
  }
}

void HttpActionRules::CheckRetries(const HTTPRetry& retries, const FieldPath& path) {
  check_.AtLeastZero(path.Field("attempts"), retries.attempts());
  const bool has_policy = retries.has_per_try_timeout() || !retries.retry_on().empty() ||
                          retries.has_retry_remote_localities();
  if (retries.attempts() == 0 && has_policy) {
    check_.Add(path.Field("attempts"), "0, but how to retry is set; expected 1 or more");
  }
  if (retries.has_per_try_timeout()) {
    check_.Duration(path.Field("perTryTimeout"), retries.per_try_timeout());
  }
  if (retries.has_backoff()) check_.Duration(path.Field("backoff"), retries.backoff());
  std::string_view rest = retries.retry_on();
  while (!rest.empty()) {
    const size_t comma = std::min(rest.find(','), rest.size());
    const std::string_view word = rest.substr(0, comma);
    if (!Has(kRetryConditions, word) && !IsHttpStatus(word)) {
      check_.Add(path.Field("retryOn"), Quoted(word) +
                                            " is no condition; expected names such as "
                                            "5xx,connect-failure without blanks");
    }
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
}

void HttpActionRules::CheckCors(const CorsPolicy& cors, const FieldPath& path) {
  const FieldPath origins = path.Field("allowOrigins"), methods = path.Field("allowMethods");
  for (int i = 0; i < cors.allow_origins_size(); ++i) {
    const StringMatch& origin = cors.allow_origins(i);
    const FieldPath at = origins.Item(i);
    if (origin.exact().empty() && origin.prefix().empty() && origin.regex().empty()) {
      check_.Add(at, "empty; expected one of exact, prefix and regex");
    } else if (origin.has_regex()) {
      check_.Regex(at.Field("regex"), origin.regex());
    }
  }
  for (int i = 0; i < cors.allow_methods_size(); ++i) {
    if (!Has(kCorsMethods, cors.allow_methods(i))) {
      check_.Add(methods.Item(i), "unknown method; expected one such as GET, or *");
    }
  }
  const auto check_names = [&](const TextList& names, const FieldPath& at) {
    for (int i = 0; i < names.size(); ++i) {
      if (names[i] != "*") check_.HeaderName(at.Item(i), names[i]);
    }
  };
  check_names(cors.allow_headers(), path.Field("allowHeaders"));
  check_names(cors.expose_headers(), path.Field("exposeHeaders"));
  if (cors.has_max_age() && (cors.max_age().nanos() != 0 || cors.max_age().seconds() < 0)) {
    check_.Add(path.Field("maxAge"), "not whole seconds; expected one such as 24h");
  }
}

void HttpActionRules::CheckFaultShare(const istio::networking::v1::Percent& share,
                                      const FieldPath& path) {
  const double value = share.value();
  if (value != 0 && (value < kLeastPercent || value > 100)) {
    check_.Add(path.Field("value"), "not a percentage; expected 0, or 0.0001 to 100");
  }
}

void HttpActionRules::CheckFault(const HTTPFaultInjection& fault, const FieldPath& path) {
  if (!fault.has_delay() && !fault.has_abort()) {
    check_.Add(path, "does nothing; expected delay or abort");
  }
  const FieldPath abort = path.Field("abort"), delay = path.Field("delay");
  CheckFaultShare(fault.abort().percentage(), abort.Field("percentage"));
  CheckFaultShare(fault.delay().percentage(), delay.Field("percentage"));
  check_.Percent(abort.Field("percent"), fault.abort().percent());
  check_.Percent(delay.Field("percent"), fault.delay().percent());
  if (fault.abort().has_http_status() &&
      (fault.abort().http_status() < 200 || fault.abort().http_status() > 600)) {
    check_.Add(abort.Field("httpStatus"), "no status of a response; expected 200 to 600");
  }
  if (fault.abort().has_grpc_status() && !GrpcCode(fault.abort().grpc_status()).has_value()) {
    check_.Add(abort.Field("grpcStatus"), "unknown; expected a name such as UNAVAILABLE");
  }
  if (fault.abort().has_http2_error()) {
    check_.Add(abort.Field("http2Error"), "not supported; expected httpStatus or grpcStatus");
  }
  if (fault.delay().has_fixed_delay()) {
    check_.Duration(delay.Field("fixedDelay"), fault.delay().fixed_delay());
  }
  if (fault.delay().has_exponential_delay()) {
    check_.Add(delay.Field("exponentialDelay"), "not supported; expected fixedDelay");
  }
}

void HttpActionRules::CheckMirrors() {
  const FieldPath one = path_.Field("mirrorPercentage"), list = path_.Field("mirrors");
  check_.Percent(one.Field("value"), route_.mirror_percentage().value());
  check_.Percent(path_.Field("mirrorPercent"), route_.mirror_percent().value());
  for (int i = 0; i < route_.mirrors_size(); ++i) {
    const FieldPath mirror = list.Item(i);
    check_.Percent(mirror.Field("percentage"), route_.mirrors(i).percentage().value());
  }
}

void HttpActionRules::Check() {
  CheckHeaders(route_.headers(), path_.Field("headers"));
  const FieldPath routes = path_.Field("route");
  for (int i = 0; i < route_.route_size(); ++i) {
    const FieldPath route = routes.Item(i);
    CheckHeaders(route_.route(i).headers(), route.Field("headers"));
  }
  if (route_.has_redirect()) CheckRedirect(route_.redirect(), path_.Field("redirect"));
  if (route_.has_rewrite()) CheckRewrite(route_.rewrite(), path_.Field("rewrite"));
  if (route_.has_direct_response()) {
    CheckDirectResponse(route_.direct_response(), path_.Field("directResponse"));
  }
  if (route_.has_retries()) CheckRetries(route_.retries(), path_.Field("retries"));
  if (route_.has_cors_policy()) CheckCors(route_.cors_policy(), path_.Field("corsPolicy"));
  if (route_.has_fault()) CheckFault(route_.fault(), path_.Field("fault"));
  if (route_.has_timeout()) check_.Duration(path_.Field("timeout"), route_.timeout());
  CheckMirrors();
}

}  // namespace

void ValidateHttpActions(const HTTPRoute& route, const FieldPath& path, const Checker& check) {
  HttpActionRules(route, path, check).Check();
}

}  // namespace meltemi::config
