import Foundation
import Perennial
import PerennialGateway
import PerennialHTTP

/// What the command line says about how to ask and keep; each a text or `nil`. It holds for the route to `--origin`,
/// and for the file's routes and origins where they don't say otherwise.
struct GivenRules: Sendable {
    var origin: String?
    var host: String?
    var via: String?
    var forwarded: String?
    var originCA: String?
    var originCert: String?
    var originKey: String?
    var refreshAfter: String?
    var expireAfter: String?
    var staleIfError: String?
    var freshness: String?
    var clientDirectives: String?
    var allow: String?
    var softTimeout: String?
    var timeout: String?
    var fetchTimeout: String?
    var rate: String?
    var concurrency: String?
    var longestRetryAfter: String?
    var maxBody: String?

    /// The file's routes, and behind them the one for everything else, if an origin is given.
    func routes(_ settings: Settings) throws(Failure) -> [Route] {
        let origins = try origins(settings)
        var routes: [Route] = []
        for section in settings.sections(OptionFile.routes) {
            routes.append(try route(section, number: routes.count + 1, origins, settings))
        }
        let origin =
            routes.isEmpty ? try settings.require(Known.origin, origin) : try settings.find(Known.origin, origin)
        if let origin {
            var route = Route(origin: try self.origin(origin.value, nil, settings))
            route.address.sentHost = try settings.value(Known.host, host)
            route.rules = try rules(nil, of: route.origin, settings)
            routes.append(route)
        }
        do throws(RoutingError) {
            try check(routes)
        } catch {
            throw Failure(.configuration, "\(settings.path.map { "\($0): " } ?? "")\(error)")
        }
        return routes
    }

    // MARK: Origins

    /// An origin of the file, and what else it says of the routes to it.
    private struct NamedOrigin {
        var origin: Origin
        var sentHost: SentHost
    }

    private func origins(_ settings: Settings) throws(Failure) -> [String: NamedOrigin] {
        let sections = settings.sections(OptionFile.origins)
        guard let named = sections.first else { return [:] }
        guard sections.count == 1 else {
            throw Failure(
                .configuration, "“origins” in \(named.place) must be a mapping from names to origins, no list")
        }
        var origins: [String: NamedOrigin] = [:]
        for name in named.keys {
            guard var section = try named.section(name) else {
                throw Failure(
                    .configuration, "\(named.name(of: name)) must be a mapping, with a line like “url: https://…”")
            }
            section.title = "origin “\(name)”"
            origins[name] = NamedOrigin(
                origin: try origin(section, settings),
                sentHost: try settings.find(Known.host, host, in: section)?.value ?? .origin)
        }
        return origins
    }

    private func origin(_ section: FileSection, _ settings: Settings) throws(Failure) -> Origin {
        try section.check(
            keys: [
                "url", "fields", Known.host.name, Known.via.name, Known.forwarded.name, Known.originCA.name,
                Known.timeout.name, Known.rate.name, Known.concurrency.name,
                Known.longestRetryAfter.name, Known.fetchTimeout.name, Known.originCert.name, Known.originKey.name,
            ],
            hint:
                "an origin has url, fields, host, via, forwarded, origin-ca, origin-cert, origin-key, timeout, fetch-timeout, rate, concurrency "
                + "and longest-retry-after")
        guard let url = try section.find("url", read: originAddress) else {
            throw Failure(
                .configuration,
                "\(section.title) in \(section.place) has no url; add a line like “url: https://api.example.com”")
        }
        var origin = try origin(url.value, section, settings)
        if let fields = try section.section("fields") {
            origin.fields = try originFields(fields, of: section.title, settings)
        }
        return origin
    }

    /// - Parameter section: `nil`: the command line and the environment say all.
    private func origin(_ url: OriginURL, _ section: FileSection?, _ settings: Settings) throws(Failure) -> Origin {
        var origin = Origin(url)
        if let file = try settings.find(Known.originCA, originCA, in: section) {
            origin.authorities = try authorities(file)
        }
        origin.via = try settings.find(Known.via, via, in: section)?.value ?? .on
        origin.forwarded = try settings.find(Known.forwarded, forwarded, in: section)?.value ?? .off
        origin.certificate = try clientCertificate(
            settings.find(Known.originCert, originCert, in: section),
            key: settings.find(Known.originKey, originKey, in: section))
        if let found = try settings.find(Known.timeout, timeout, in: section) {
            guard found.value > .zero else {
                throw Failure(found.place.code, "\(found.name): it must be more than zero, like 30s")
            }
            origin.timeout = found.value
        }
        if let found = try settings.find(Known.fetchTimeout, fetchTimeout, in: section) {
            guard found.value >= origin.timeout else {
                throw Failure(
                    found.place.code,
                    "\(found.name) (\(readable(found.value))) is shorter than timeout (\(readable(origin.timeout))); make it at least as long"
                )
            }
            origin.fetchTimeout = found.value
        }
        origin.rate = try settings.find(Known.rate, rate, in: section)?.value
        origin.concurrency = try settings.find(Known.concurrency, concurrency, in: section)?.value
        if let longest = try settings.find(Known.longestRetryAfter, longestRetryAfter, in: section)?.value {
            origin.longestRetryAfter = longest
        }
        return origin
    }

    /// The fields for an origin. `${NAME}` stands for a variable of the environment, so that no secret is in the file.
    private func originFields(
        _ section: FileSection, of origin: String, _ settings: Settings
    ) throws(Failure) -> HeaderFields {
        var section = section
        section.title = "fields of \(origin)"
        var fields: HeaderFields = [:]
        for name in section.keys {
            let found = try section.find(name) { text throws(Unreadable) in
                let value = try filled(text, from: settings)
                if let complaint = complaint(aboutOriginField: name, value: value) { throw Unreadable(complaint) }
                return value
            }
            if let found { fields.add(name, found.value) }
        }
        return fields
    }

    // MARK: Routes

    private static let sentHost = "send-host"

    private func route(
        _ section: FileSection, number: Int, _ origins: [String: NamedOrigin], _ settings: Settings
    ) throws(Failure) -> Route {
        var section = section
        let name = try section.find("name", read: { $0 })?.value ?? "route \(number)"
        section.title = "route “\(name)”"
        try section.check(
            keys: [
                "name", "host", "path", "strip-path", "origin", Self.sentHost, "query", "cookies", "cors", "vary",
                Known.refreshAfter.name,
                Known.expireAfter.name, Known.staleIfError.name, Known.freshness.name, Known.clientDirectives.name,
                Known.allow.name, Known.softTimeout.name, Known.maxBody.name,
            ],
            hint:
                "a route has name, host, path, strip-path, origin, send-host, query, cookies, vary, cors and the limits for its responses"
        )
        guard let named = try section.find("origin", read: { $0 }) else {
            throw Failure(
                .configuration, "\(section.title) in \(section.place) has no origin; add a line like “origin: NAME”")
        }
        let found = try self.origin(named, origins, settings)
        let origin = found.origin
        // `host` says which requests it is for.
        let sentHost = try section.find(Self.sentHost, read: Known.host.read)?.value ?? found.sentHost
        let hosts = try section.find("host", read: hosts)?.value ?? []
        let path = try section.find("path", read: pathPattern)?.value ?? .all
        let strips = try section.find("strip-path", read: yesOrNo)?.value ?? false
        let rules = try rules(section, of: origin, settings)
        do throws(AddressError) {
            return try Route(
                name: name, hosts: hosts, path: path, stripsPath: strips, origin: origin, sentHost: sentHost,
                rules: rules)
        } catch {
            throw Failure(.configuration, "\(section.name(of: "strip-path")): \(error)")
        }
    }

    /// An origin by its name, or by its address: then what is said for all origins holds for it.
    private func origin(
        _ named: Found<String>, _ origins: [String: NamedOrigin], _ settings: Settings
    ) throws(Failure) -> NamedOrigin {
        if let origin = origins[named.value] { return origin }
        guard named.value.contains("://") else {
            let nearest = nearest(to: named.value, in: Array(origins.keys)).map { "did you mean “\($0)”?" }
            throw Failure(
                .configuration,
                "\(named.name): there is no origin “\(named.value)”; \(nearest ?? "name one of “origins”, or write its address")"
            )
        }
        let url: OriginURL
        do throws(Unreadable) {
            url = try originAddress(named.value)
        } catch {
            throw Failure(.configuration, "\(named.name): \(error)")
        }
        return NamedOrigin(
            origin: try origin(url, nil, settings), sentHost: try settings.value(Known.host, host))
    }

    // MARK: Rules

    /// - Parameter section: a route's; `nil`: the command line and the environment say all.
    private func rules(_ section: FileSection?, of origin: Origin, _ settings: Settings) throws(Failure)
        -> ResponseRules
    {
        var rules = ResponseRules()
        rules.freshness = try freshness(section, settings)
        rules.clientDirectives = try settings.find(Known.clientDirectives, clientDirectives, in: section)?.value
        rules.allowances = try settings.find(Known.allow, allow, in: section)?.value ?? []
        if let soft = try settings.find(Known.softTimeout, softTimeout, in: section) {
            if section == nil { try checkOrder(soft, settings.find(Known.timeout, timeout)) }
            guard soft.value <= origin.timeout else {
                throw Failure(
                    soft.place.code,
                    "\(soft.name) (\(readable(soft.value))) is longer than the origin's time-out (\(readable(origin.timeout))); "
                        + "make it at most as long")
            }
            rules.softTimeout = soft.value
        }
        if let size = try settings.find(Known.maxBody, maxBody, in: section)?.value { rules.maxBody = size }
        guard let section else { return rules }
        rules.query = try query(section)
        rules.cookies = try cookies(section)
        rules.vary = try vary(section)
        rules.cors = try section.find("cors", read: yesOrNo)?.value ?? false
        if rules.cors && rules.vary.ignored.contains("origin") {
            throw Failure(
                .configuration,
                "\(section.name(of: "cors")) tells answers apart by Origin, which “vary” ignores; leave one of them out"
            )
        }
        return rules
    }

    private func freshness(_ section: FileSection?, _ settings: Settings) throws(Failure) -> FreshnessMode {
        let own = try section?.find(Known.freshness)?.value
        // Limits of a route's own are meant to hold there.
        let hasOwnLimits = section.map { $0.has(Known.refreshAfter.name) || $0.has(Known.expireAfter.name) } ?? false
        let general = try settings.find(Known.freshness, freshness)?.value
        let rule = own ?? (hasOwnLimits ? .policy : general)
        return try freshnessMode(
            rule: rule, refreshAfter: settings.find(Known.refreshAfter, refreshAfter, in: section),
            expireAfter: settings.find(Known.expireAfter, expireAfter, in: section),
            staleIfError: settings.find(Known.staleIfError, staleIfError, in: section))
    }

    private func query(_ route: FileSection) throws(Failure) -> QueryRules {
        guard let section = try route.section("query") else { return .everything }
        try section.check(keys: ["keep", "drop", "sort"], hint: "query has keep, drop and sort")
        return QueryRules(
            kept: try kept(section),
            dropped: try section.find("drop", read: wildcards)?.value ?? [],
            isSorted: try section.find("sort", read: yesOrNo)?.value ?? false)
    }

    private func cookies(_ route: FileSection) throws(Failure) -> CookieRules {
        guard let section = try route.section("cookies") else { return .everything }
        try section.check(keys: ["keep", "drop"], hint: "cookies has keep and drop")
        return CookieRules(kept: try kept(section), dropped: try section.find("drop", read: wildcards)?.value ?? [])
    }

    /// An empty list means none.
    private func kept(_ section: FileSection) throws(Failure) -> [Wildcard]? {
        section.texts["keep"]?.text.isEmpty == true ? [] : try section.find("keep", read: wildcards)?.value
    }

    private func vary(_ route: FileSection) throws(Failure) -> VaryRules {
        guard let section = try route.section("vary") else { return .none }
        try section.check(keys: ["add", "ignore"], hint: "vary has add and ignore")
        return VaryRules(
            added: try section.find("add", read: selectingFields)?.value ?? [],
            ignored: try section.find("ignore", read: ignoredFields)?.value ?? [])
    }
}

/// The members of a list that was written with commas, or as a YAML list.
private func items(_ text: String) -> [String] {
    text.split(separator: ",").map { $0.trimmingCharacters(in: .whitespacesAndNewlines) }.filter { !$0.isEmpty }
}

private func wildcards(_ text: String) throws(Unreadable) -> [Wildcard] { items(text).map { Wildcard($0) } }

private func hosts(_ text: String) throws(Unreadable) -> [HostPattern] {
    var hosts: [HostPattern] = []
    for item in items(text) {
        do throws(AddressError) { hosts.append(try HostPattern(item)) } catch { throw Unreadable(error.description) }
    }
    return hosts
}

private func pathPattern(_ text: String) throws(Unreadable) -> PathPattern {
    do throws(AddressError) { return try PathPattern(text) } catch { throw Unreadable(error.description) }
}

private func selectingFields(_ text: String) throws(Unreadable) -> [String] {
    try names(text) { complaint(aboutSelectingField: $0) }
}

private func ignoredFields(_ text: String) throws(Unreadable) -> [String] {
    try names(text) { complaint(aboutIgnoredField: $0) }
}

private func names(_ text: String, complaint: (String) -> String?) throws(Unreadable) -> [String] {
    let names = items(text)
    for name in names {
        if let complaint = complaint(name) { throw Unreadable(complaint) }
    }
    return names
}

private func yesOrNo(_ text: String) throws(Unreadable) -> Bool {
    switch text.lowercased() {
    case "true", "yes", "on": return true
    case "false", "no", "off": return false
    default: throw Unreadable("“\(text)” is neither true nor false")
    }
}

/// A text with the environment's values where it has `${NAME}`.
private func filled(_ text: String, from settings: Settings) throws(Unreadable) -> String {
    var parts = text.split(separator: "${", omittingEmptySubsequences: false)
    var filled = String(parts.removeFirst())
    for part in parts {
        guard let end = part.firstIndex(of: "}"), end > part.startIndex else {
            throw Unreadable("“${” begins the name of a variable, and no “}” ends it; write it like ${API_TOKEN}")
        }
        let name = String(part[..<end])
        guard let value = settings.environmentVariable(name) else {
            throw Unreadable("it needs \(name) in the environment, which is not set")
        }
        filled += value + part[part.index(after: end)...]
    }
    return filled
}
