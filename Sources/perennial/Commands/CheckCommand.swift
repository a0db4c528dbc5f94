import ArgumentParser
import Perennial
import PerennialGateway
import PerennialHTTP

/// `perennial check FILE [URL…]`: what `serve` would make of a configuration file.
struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Check a configuration file, and show what its routes do with addresses.",
        discussion: """
            The environment counts as it does for serve. A file with a mistake ends with code 78 and says what and where. \
            With --json: one JSON array, with one object an address, or without addresses one a route.
            """)

    @Argument(help: ArgumentHelp("The configuration file.", valueName: "FILE.yaml")) var file: String
    @Argument(help: ArgumentHelp("What clients ask the gateway for: https://HOST/PATH, or /PATH.", valueName: "URL"))
    var urls: [String] = []
    @Flag(help: "Print JSON.") var json = false

    mutating func run() throws {
        let settings = try Settings(config: file)
        let serve = try ServeCommand.parse([])
        let gateway = try serve.plan(settings).gateway
        let routes = gateway.routes
        let asked = try urls.map { try Asked($0) }
        if json {
            return try asked.isEmpty
                ? Console.print(json: routes.map { RouteReport($0, key: nil) })
                : Console.print(json: asked.map { AnswerReport($0, routes: routes) })
        }
        Console.print("\(file): \(routes.count) \(routes.count == 1 ? "route" : "routes"), no mistakes found")
        for line in tlsLines(gateway) { Console.print(line) }
        if asked.isEmpty {
            for route in routes { show(RouteReport(route, key: nil), title: route.name) }
        }
        for asked in asked {
            let report = AnswerReport(asked, routes: routes)
            if let route = report.route {
                show(route, title: asked.text)
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

    private func show(_ report: RouteReport, title: String) {
        Console.print("\n\(printable(title))")
        var table = Table([("", .left), ("", .left)])
        for (name, value) in report.lines where !value.isEmpty { table.add([name, value]) }
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
            host = target.host ?? ""
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

    init(_ asked: Asked, routes: [Route]) {
        url = asked.text
        route = routes.first { $0.address.matches(host: asked.host, path: asked.path) }.map {
            RouteReport($0, key: $0.rules.query.applied(to: $0.address.key(forPath: asked.path)))
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
    /// The names of the fields that the origin is sent beside the client's. Their values may be secret.
    let originFields: [String]
    let ratePerSecond: Double?
    let concurrency: Int?
    let timeoutSeconds: Double
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
    let vary: Vary

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
        originFields = origin.fields.map(\.name)
        ratePerSecond = origin.rate?.perSecond
        concurrency = origin.concurrency
        timeoutSeconds = seconds(origin.timeout)
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
        vary = Vary(add: rules.vary.added, ignore: rules.vary.ignored)
    }

    var lines: [(String, String)] {
        [
            ("route", key == nil ? "" : name),
            ("for", "\(hosts.isEmpty ? "any host" : hosts.joined(separator: ", ")), \(path)"),
            ("asks", key ?? (stripsPath ? "\(origin), without \(path)" : origin)),
            ("with", originFields.joined(separator: ", ")),
            ("at most", bounds.joined(separator: ", ")),
            ("fresh", freshnessLine),
            ("obeys", obeysNoCache && refreshAfterSeconds != nil ? "no-cache, must-revalidate and past Expires" : ""),
            ("clients", "their Cache-Control is \(clientDirectives == "obey" ? "obeyed" : "ignored")"),
            ("query", queryLine.joined(separator: ", ")),
            ("varies", varyLine.joined(separator: ", ")),
            ("allowed", allow.joined(separator: ", ")),
            ("keeps", "bodies up to \(readable(bytes: maxBody))"),
        ]
    }

    private var bounds: [String] {
        let rate = ratePerSecond.map { $0 < 1 ? "\(number($0 * 3600)) an hour" : "\(number($0)) a second" }
        let parts = [
            rate, concurrency.map { "\($0) at a time" }, "\(readable(.seconds(timeoutSeconds))) each",
            softTimeoutSeconds.map { "\(readable(.seconds($0))) if there is an old value" },
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
        [
            query.keep.map { "only \($0.joined(separator: " "))" },
            query.drop.isEmpty ? nil : "without \(query.drop.joined(separator: " "))", query.sort ? "sorted" : nil,
        ].compactMap { $0 }
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
