import Foundation
import Perennial
import PerennialConnections
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
    /// - Throws: ``Failure`` with all that is wrong.
    func routes(_ settings: Settings) throws(Failure) -> [Route] {
        let problems = Problems()
        let routes = routes(settings, problems)
        try problems.check()
        return routes
    }

    /// - Parameter problems: is told of all that is wrong; then what comes back is of no use.
    func routes(_ settings: Settings, _ problems: Problems) -> [Route] {
        let origins = origins(settings, problems)
        let sections = settings.sections(OptionFile.routes)
        var routes: [Route] = []
        for (index, section) in sections.enumerated() {
            let route = problems.take(try self.route(section, number: index + 1, origins, settings, problems))
            if let route { routes.append(route) }
        }
        if let origin = problems.take(try settings.find(Known.origin, origin)) {
            var route = Route(origin: self.origin(origin.value, nil, settings, problems))
            if let sent = problems.take(try settings.find(Known.host, host)) { route.address.sentHost = sent.value }
            route.rules = rules(nil, of: route.origin, settings, problems)
            routes.append(route)
        }
        // Complaints about routes that are not as they were meant would lead nowhere.
        guard problems.isEmpty else { return routes }
        if routes.isEmpty {
            problems.take(try missingRoutes(settings))
        } else {
            for error in routingErrors(in: routes) {
                let place = error.route.flatMap { $0 < sections.count ? sections[$0].place : settings.path }
                problems.note(Failure(.configuration, "\(place.map { "\($0): " } ?? "")\(error)"))
            }
        }
        return routes
    }

    /// Says why there is nothing to serve.
    private func missingRoutes(_ settings: Settings) throws(Failure) -> Never? {
        if let name = settings.name(ofFileKey: OptionFile.routes) {
            throw Failure(
                .configuration, "\(name) is empty; add a route with a line like “- origin: https://api.example.com”")
        }
        if let name = settings.name(ofFileKey: OptionFile.origins) {
            throw Failure(
                .configuration, "\(name) has nobody to use it; add “routes” with a line like “- origin: NAME”")
        }
        _ = try settings.require(Known.origin, nil)
        return nil
    }

    // MARK: Origins

    /// An origin of the file, and what else it says of the routes to it.
    private struct NamedOrigin {
        var origin: Origin
        var sentHost: SentHost
    }

    /// By their names; `nil`: there is something wrong with it, which has been noted.
    private func origins(_ settings: Settings, _ problems: Problems) -> [String: NamedOrigin?] {
        let sections = settings.sections(OptionFile.origins)
        guard let named = sections.first else { return [:] }
        guard sections.count == 1 else {
            problems.note(
                Failure(
                    .configuration, "“origins” in \(named.place) must be a mapping from names to origins, no list"))
            return [:]
        }
        var origins: [String: NamedOrigin?] = [:]
        for name in named.keys {
            origins.updateValue(problems.take(try origin(name, in: named, settings, problems)), forKey: name)
        }
        return origins
    }

    private func origin(
        _ name: String, in named: FileSection, _ settings: Settings, _ problems: Problems
    ) throws(Failure) -> NamedOrigin {
        guard var section = try named.section(name) else {
            throw Failure(
                .configuration, "\(named.name(of: name)) must be a mapping, with a line like “url: https://…”")
        }
        section.title = "origin “\(name)”"
        section.check(
            keys: [
                "url", "fields", Known.host.name, Known.via.name, Known.forwarded.name, Known.originCA.name,
                Known.timeout.name, Known.rate.name, Known.concurrency.name,
                Known.longestRetryAfter.name, Known.fetchTimeout.name, Known.originCert.name, Known.originKey.name,
            ],
            hint:
                "an origin has url, fields, host, via, forwarded, origin-ca, origin-cert, origin-key, timeout, "
                + "fetch-timeout, rate, concurrency and longest-retry-after",
            elsewhere: { key in OptionFile.ofRoutes.contains(key) ? "it belongs to one of “routes”" : nil },
            problems)
        guard let url = try section.find("url", read: originAddress) else {
            throw Failure(
                .configuration,
                "\(section.title) in \(section.place) has no url; add a line like “url: https://api.example.com”")
        }
        var origin = origin(url.value, section, settings, problems)
        if let fields = problems.take(try section.section("fields")) {
            origin.fields = originFields(fields, of: section.title, settings, problems)
        }
        let sentHost = problems.take(try settings.find(Known.host, host, in: section))?.value
        return NamedOrigin(origin: origin, sentHost: sentHost ?? .origin)
    }

    /// - Parameter section: `nil`: the command line and the environment say all.
    private func origin(
        _ url: OriginURL, _ section: FileSection?, _ settings: Settings, _ problems: Problems
    ) -> Origin {
        func find<Value>(_ setting: Setting<Value>, _ given: String?) -> Found<Value>? {
            problems.take(try settings.find(setting, given, in: section))
        }
        var origin = Origin(url)
        if let file = find(Known.originCA, originCA) { origin.authorities = problems.take(try authorities(file)) }
        origin.via = find(Known.via, via)?.value ?? .on
        origin.forwarded = find(Known.forwarded, forwarded)?.value ?? .off
        let (certificate, key) = (find(Known.originCert, originCert), find(Known.originKey, originKey))
        origin.certificate = problems.take(try clientCertificate(certificate, key: key))
        if let found = find(Known.timeout, timeout) {
            if found.value > .zero {
                origin.timeout = found.value
            } else {
                problems.note(Failure(found.place.code, "\(found.name): it must be more than zero, like 30s"))
            }
        }
        if let found = find(Known.fetchTimeout, fetchTimeout) {
            origin.fetchTimeout = found.value
            if found.value < origin.timeout {
                problems.note(
                    Failure(
                        found.place.code,
                        "\(found.name) (\(readable(found.value))) is shorter than timeout (\(readable(origin.timeout))); make it at least as long"
                    ))
            }
        }
        origin.rate = find(Known.rate, rate)?.value
        origin.concurrency = find(Known.concurrency, concurrency)?.value
        if let longest = find(Known.longestRetryAfter, longestRetryAfter)?.value { origin.longestRetryAfter = longest }
        return origin
    }

    /// The fields for an origin. `${NAME}` stands for a variable of the environment, so that no secret is in the file.
    private func originFields(
        _ section: FileSection, of origin: String, _ settings: Settings, _ problems: Problems
    ) -> HeaderFields {
        var section = section
        section.title = "fields of \(origin)"
        var fields: HeaderFields = [:]
        for name in section.keys {
            let found = problems.take(
                try section.find(name) { text throws(Unreadable) in
                    let value = try filled(text, from: settings)
                    if let complaint = complaint(aboutOriginField: name, value: value) { throw Unreadable(complaint) }
                    return value
                })
            if let found { fields.add(name, found.value) }
        }
        return fields
    }

    // MARK: Routes

    private static let sentHost = "send-host"

    private func route(
        _ section: FileSection, number: Int, _ origins: [String: NamedOrigin?], _ settings: Settings,
        _ problems: Problems
    ) throws(Failure) -> Route? {
        var section = section
        let name = problems.take(try section.find("name", read: { $0 }))?.value ?? "route \(number)"
        section.title = "route “\(name)”"
        section.check(
            keys: [
                "name", "host", "path", "strip-path", "origin", Self.sentHost, "query", "cookies", "cors", "vary",
                Known.refreshAfter.name,
                Known.expireAfter.name, Known.staleIfError.name, Known.freshness.name, Known.clientDirectives.name,
                Known.allow.name, Known.softTimeout.name, Known.maxBody.name,
            ],
            hint:
                "a route has name, host, path, strip-path, origin, send-host, query, cookies, vary, cors and the limits "
                + "for its responses",
            elsewhere: { key in
                OptionFile.ofOrigins.contains(key) || [Known.rate.name, Known.timeout.name].contains(key)
                    ? "it belongs to one of “origins”" : nil
            }, problems)
        let hosts = problems.take(try section.find("host", read: hosts))?.value ?? []
        let path = problems.take(try section.find("path", read: pathPattern))?.value ?? .all
        let strips = problems.take(try section.find("strip-path", read: yesOrNo))?.value ?? false
        // `host` says which requests it is for.
        let ownHost = problems.take(try section.find(Self.sentHost, read: Known.host.read))?.value
        guard let named = try section.find("origin", read: { $0 }) else {
            throw Failure(
                .configuration, "\(section.title) in \(section.place) has no origin; add a line like “origin: NAME”")
        }
        let found = problems.take(try self.origin(named, origins, settings, problems))
        // Without its origin a route is read for its mistakes alone.
        let rules = rules(section, of: found?.origin, settings, problems)
        guard let found else { return nil }
        let (origin, sentHost) = (found.origin, ownHost ?? found.sentHost)
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
        _ named: Found<String>, _ origins: [String: NamedOrigin?], _ settings: Settings, _ problems: Problems
    ) throws(Failure) -> NamedOrigin? {
        // `nil` in it: there is such an origin, and something wrong with it.
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
            origin: origin(url, nil, settings, problems), sentHost: try settings.value(Known.host, host))
    }

    // MARK: Rules

    /// - Parameters:
    ///   - section: a route's; `nil`: the command line and the environment say all.
    ///   - origin: `nil`: nobody knows.
    private func rules(
        _ section: FileSection?, of origin: Origin?, _ settings: Settings, _ problems: Problems
    ) -> ResponseRules {
        func find<Value>(_ setting: Setting<Value>, _ given: String?) -> Found<Value>? {
            problems.take(try settings.find(setting, given, in: section))
        }
        var rules = ResponseRules()
        if let freshness = problems.take(try freshness(section, settings)) { rules.freshness = freshness }
        rules.clientDirectives = find(Known.clientDirectives, clientDirectives)?.value
        rules.allowances = find(Known.allow, allow)?.value ?? []
        if let soft = find(Known.softTimeout, softTimeout) {
            rules.softTimeout = soft.value
            problems.take(try check(softTimeout: soft, of: origin, isGeneral: section == nil, settings))
        }
        if let size = find(Known.maxBody, maxBody)?.value { rules.maxBody = size }
        guard let section else { return rules }
        if let query = problems.take(try query(section, problems)) { rules.query = query }
        if let cookies = problems.take(try cookies(section, problems)) { rules.cookies = cookies }
        if let vary = problems.take(try vary(section, problems)) { rules.vary = vary }
        rules.cors = problems.take(try section.find("cors", read: yesOrNo))?.value ?? false
        if rules.cors && rules.vary.ignored.contains("origin") {
            problems.note(
                Failure(
                    .configuration,
                    "\(section.name(of: "cors")) tells answers apart by Origin, which “vary” ignores; leave one of them out"
                ))
        }
        return rules
    }

    private func check(
        softTimeout soft: Found<Duration>, of origin: Origin?, isGeneral: Bool, _ settings: Settings
    ) throws(Failure) -> Never? {
        if isGeneral { try checkOrder(soft, settings.find(Known.timeout, timeout)) }
        guard let origin, soft.value > origin.timeout else { return nil }
        throw Failure(
            soft.place.code,
            "\(soft.name) (\(readable(soft.value))) is longer than the origin's time-out (\(readable(origin.timeout))); "
                + "make it at most as long")
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

    private func query(_ route: FileSection, _ problems: Problems) throws(Failure) -> QueryRules {
        guard let section = try route.section("query") else { return .everything }
        section.check(keys: ["keep", "drop", "sort"], hint: "query has keep, drop and sort", problems)
        return QueryRules(
            kept: kept(section, problems),
            dropped: problems.take(try section.find("drop", read: wildcards))?.value ?? [],
            isSorted: problems.take(try section.find("sort", read: yesOrNo))?.value ?? false)
    }

    private func cookies(_ route: FileSection, _ problems: Problems) throws(Failure) -> CookieRules {
        guard let section = try route.section("cookies") else { return .everything }
        section.check(keys: ["keep", "drop"], hint: "cookies has keep and drop", problems)
        return CookieRules(
            kept: kept(section, problems),
            dropped: problems.take(try section.find("drop", read: wildcards))?.value ?? [])
    }

    /// An empty list means none.
    private func kept(_ section: FileSection, _ problems: Problems) -> [Wildcard]? {
        section.texts["keep"]?.text.isEmpty == true
            ? [] : problems.take(try section.find("keep", read: wildcards))?.value
    }

    private func vary(_ route: FileSection, _ problems: Problems) throws(Failure) -> VaryRules {
        guard let section = try route.section("vary") else { return .none }
        section.check(keys: ["add", "ignore"], hint: "vary has add and ignore", problems)
        return VaryRules(
            added: problems.take(try section.find("add", read: selectingFields))?.value ?? [],
            ignored: problems.take(try section.find("ignore", read: ignoredFields))?.value ?? [])
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
