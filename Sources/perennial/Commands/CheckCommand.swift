import ArgumentParser
import Perennial
import PerennialGateway
import PerennialHTTP

/// `perennial check FILE [URL…]`: what `serve` would make of a configuration file.
struct CheckCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Check a configuration file, and show what its routes do with addresses.",
        discussion: """
            The environment counts as it does for serve. A file with a mistake ends with code 78 and says what and where. \
            A store that is a file is looked into, and nothing of it is changed; a server is not asked. \
            With --json: one JSON array, with one object an address, or without addresses one a route.
            """)

    @Argument(help: ArgumentHelp("The configuration file.", valueName: "FILE.yaml")) var file: String
    @Argument(help: ArgumentHelp("What clients ask the gateway for: https://HOST/PATH, or /PATH.", valueName: "URL"))
    var urls: [String] = []
    @Flag(help: "Print JSON.") var json = false

    mutating func run() async throws {
        let problems = Problems()
        let settings = try Settings(config: file, problems: problems)
        let plan = try ServeCommand.parse([]).plan(settings, problems)
        let gateway = plan.gateway
        let routes = gateway.routes
        let store = try await plan.common.storeLine()
        let asked = try urls.map { try Asked($0) }
        if json {
            return try asked.isEmpty
                ? Console.print(json: routes.map { RouteReport($0, key: nil) })
                : Console.print(json: asked.map { try AnswerReport($0, routes: routes) })
        }
        Console.print("\(file): \(routes.count) \(routes.count == 1 ? "route" : "routes"), no mistakes found")
        for line in tlsLines(gateway) { Console.print(line) }
        if !gateway.purgeFrom.isEmpty {
            Console.print("PURGE is answered for \(gateway.purgeFrom.map(\.description).joined(separator: ", "))")
        }
        if asked.isEmpty {
            show(plan.lines(store: store), title: "gateway")
            for route in routes { show(RouteReport(route, key: nil).lines, title: route.name) }
        }
        for asked in asked {
            let report = try AnswerReport(asked, routes: routes)
            if let route = report.route {
                show(route.lines, title: asked.text)
            } else {
                Console.print("\n\(printable(asked.text))\n  no route is for it: the answer is a 404")
            }
        }
    }

    /// What clients are shown, and must show.
    private func tlsLines(_ gateway: GatewayConfiguration) -> [String] {
        if gateway.certificates.isEmpty { return [] }
        let shown = gateway.certificates.enumerated().map { place, certificate in
            let names = certificate.names.isEmpty ? "no host" : certificate.names.joined(separator: ", ")
            return "certificate \(certificate.certificateFile) for \(names)"
                + (place == 0 && gateway.certificates.count > 1 ? ", and for clients that ask for another host" : "")
        }
        return shown
            + (gateway.clientAuthorities == nil ? [] : ["clients must show a certificate of --\(Known.clientCA.name)"])
    }

    private func show(_ lines: [(String, String)], title: String) {
        Console.print("\n\(printable(title))")
        var table = Table([("", .left), ("", .left)])
        for (name, value) in lines where !value.isEmpty { table.add([name, value]) }
        table.lines(header: false).forEach { Console.print("  \($0)") }
    }
}

/// What a client asks for.
private struct Asked {
    let text: String
    let host: String
    let path: String

    init(_ text: String) throws(Failure) {
        self.text = text
        do throws(AddressError) {
            let target = try RequestTarget(String(text.prefix { $0 != "#" }))
            host = target.hostAndPort ?? ""
            path = target.path
        } catch {
            throw Failure(.usage, "\(error)")
        }
    }
}

private struct AnswerReport: Encodable {
    let url: String
    /// `nil`: no route is for it.
    let route: RouteReport?

    init(_ asked: Asked, routes: [Route]) throws(Failure) {
        url = asked.text
        guard let found = routes.first(where: { $0.address.matches(host: asked.host, path: asked.path) }) else {
            route = nil
            return
        }
        do throws(AddressError) {
            let key = try found.address.key(forPath: asked.path, host: asked.host)
            route = RouteReport(found, key: found.rules.query.applied(to: key))
        } catch {
            throw Failure(.usage, "\(error)")
        }
    }
}

/// A route as people read it.
private struct RouteReport: Encodable {
    let name: String
    let hosts: [String]
    let path: String
    let stripsPath: Bool
    let origin: String
    /// What is asked for at the origin, which is the entry's key, too.
    let key: String?
    /// What the origin is sent as `Host`: `origin`, `client`, or a name.
    let sentHost: String
    /// `on`, `off` or a name.
    let via: String
    /// `off`, `x` or `rfc`.
    let forwarded: String
    /// The names of the fields that the origin is sent beside the client's. Their values may be secret.
    let originFields: [String]
    let ratePerSecond: Double?
    let concurrency: Int?
    let timeoutSeconds: Double
    let fetchTimeoutSeconds: Double
    let longestRetryAfterSeconds: Double
    let freshness: String
    let refreshAfterSeconds: Double?
    let expireAfterSeconds: Double?
    let staleIfErrorSeconds: Double?
    /// With the operator's limits, whether what says that it must not be served unasked is asked for all the same.
    let obeysNoCache: Bool
    let clientDirectives: String
    let allow: [String]
    let softTimeoutSeconds: Double?
    let maxBody: Int
    let query: Query
    let cookies: Cookies
    let vary: Vary
    let cors: Bool

    struct Cookies: Encodable {
        let keep: [String]?
        let drop: [String]
    }

    struct Query: Encodable {
        let keep: [String]?
        let drop: [String]
        let sort: Bool
    }

    struct Vary: Encodable {
        let add: [String]
        let ignore: [String]
    }

    /// - Parameter key: of the address that is asked about; `nil`: none is.
    init(_ route: Route, key: String?) {
        let (address, origin, rules) = (route.address, route.origin, route.rules)
        name = route.name
        hosts = address.hosts.map(\.description)
        path = address.path.description
        stripsPath = address.stripsPath
        self.origin = origin.url.description
        self.key = key
        sentHost =
            switch address.sentHost {
            case .origin: "origin"
            case .client: "client"
            case .name(let name): name.description
            }
        via =
            switch origin.via {
            case .on: "on"
            case .off: "off"
            case .name(let name): name
            }
        forwarded = origin.forwarded.rawValue
        originFields = origin.fields.map(\.name)
        ratePerSecond = origin.rate?.perSecond
        concurrency = origin.concurrency
        timeoutSeconds = seconds(origin.timeout)
        fetchTimeoutSeconds = seconds(origin.wholeTimeout)
        longestRetryAfterSeconds = seconds(origin.longestRetryAfter)
        switch rules.freshness {
        case .origin(let staleIfError):
            freshness = FreshnessRule.origin.rawValue
            obeysNoCache = true
            (refreshAfterSeconds, expireAfterSeconds) = (nil, nil)
            staleIfErrorSeconds = staleIfError.map(seconds)
        case .policy(let limits, _):
            freshness = FreshnessRule.policy.rawValue
            obeysNoCache = !rules.allowances.contains(.noCache)
            refreshAfterSeconds = seconds(limits.refreshAfter)
            expireAfterSeconds = seconds(limits.expireAfter)
            staleIfErrorSeconds = seconds(limits.staleIfError)
        }
        clientDirectives = rules.effectiveClientDirectives.rawValue
        allow = rules.allowances.names
        softTimeoutSeconds = rules.softTimeout.map(seconds)
        maxBody = rules.maxBody
        query = Query(
            keep: rules.query.kept?.map(\.description), drop: rules.query.dropped.map(\.description),
            sort: rules.query.isSorted)
        cookies = Cookies(
            keep: rules.cookies.kept?.map(\.description), drop: rules.cookies.dropped.map(\.description))
        cors = rules.cors
        vary = Vary(add: rules.vary.added, ignore: rules.vary.ignored)
    }

    var lines: [(String, String)] {
        [
            ("route", key == nil ? "" : name),
            ("for", "\(hosts.isEmpty ? "any host" : hosts.joined(separator: ", ")), \(path)"),
            ("asks", key ?? (stripsPath ? "\(origin), without \(path)" : origin)),
            ("at", key != nil && sentHost != "origin" ? origin : ""),
            ("host", hostLine),
            ("via", via == "on" ? "" : via == "off" ? "not told to the origin" : via),
            ("tells", forwardedLine),
            ("with", originFields.joined(separator: ", ")),
            ("at most", bounds.joined(separator: ", ")),
            ("fresh", freshnessLine),
            ("obeys", obeysNoCache && refreshAfterSeconds != nil ? "no-cache, must-revalidate and past Expires" : ""),
            ("clients", "their Cache-Control is \(clientDirectives == "obey" ? "obeyed" : "ignored")"),
            ("query", queryLine.joined(separator: ", ")),
            ("cookies", cookieLine.joined(separator: ", ")),
            ("varies", varyLine.joined(separator: ", ")),
            ("cors", cors ? "by Origin, preflights by what they ask" : "as the origin's Vary says; preflights pass"),
            ("allowed", allow.joined(separator: ", ")),
            ("keeps", "bodies up to \(readable(bytes: maxBody))"),
        ]
    }

    private var forwardedLine: String {
        switch forwarded {
        case "x": "who the client is whose request passes, with X-Forwarded-For, -Proto and -Host"
        case "rfc": "who the client is whose request passes, with Forwarded"
        default: ""
        }
    }

    private var hostLine: String {
        switch sentHost {
        case "origin": ""
        case "client": "the client's, by which addresses are kept apart"
        default: "\(sentHost), by which addresses are kept"
        }
    }

    private var bounds: [String] {
        let rate = ratePerSecond.map { $0 < 1 ? "\(number($0 * 3600)) an hour" : "\(number($0)) a second" }
        let parts = [
            rate, concurrency.map { "\($0) at a time" }, "\(readable(.seconds(timeoutSeconds))) a step",
            "\(readable(.seconds(fetchTimeoutSeconds))) in all",
            softTimeoutSeconds.map { "\(readable(.seconds($0))) if there is an old value" },
            "a pause of \(readable(.seconds(longestRetryAfterSeconds)))",
        ]
        return parts.compactMap { $0 }
    }

    private var freshnessLine: String {
        func limit(_ seconds: Double?) -> String { seconds.map { readable(.seconds($0)) } ?? "" }
        guard refreshAfterSeconds != nil else {
            return "as the origin says"
                + (staleIfErrorSeconds == nil ? "" : "; on errors for \(limit(staleIfErrorSeconds))")
        }
        return "refreshed after \(limit(refreshAfterSeconds)), expired after \(limit(expireAfterSeconds)), "
            + "on errors for \(limit(staleIfErrorSeconds))"
    }

    private var queryLine: [String] {
        countedLine(keep: query.keep, drop: query.drop) + (query.sort ? ["sorted"] : [])
    }

    private var cookieLine: [String] { countedLine(keep: cookies.keep, drop: cookies.drop) }

    private func countedLine(keep: [String]?, drop: [String]) -> [String] {
        let kept = keep.map { $0.isEmpty ? "none" : "only \($0.joined(separator: " "))" }
        return [kept, drop.isEmpty ? nil : "without \(drop.joined(separator: " "))"].compactMap { $0 }
    }

    private var varyLine: [String] {
        [
            vary.add.isEmpty ? nil : "always by \(vary.add.joined(separator: " "))",
            vary.ignore.isEmpty ? nil : "never by \(vary.ignore.joined(separator: " "))",
        ].compactMap { $0 }
    }
}

private func seconds(_ duration: Duration) -> Double { Double(duration.milliseconds) / 1000 }

private func number(_ value: Double) -> String {
    value == value.rounded() ? String(Int(value)) : String((value * 10).rounded() / 10)
}
