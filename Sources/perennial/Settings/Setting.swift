import ArgumentParser
import Logging
import Perennial
import PerennialEngines
import PerennialGateway
import PerennialHTTP

/// One thing that can be set: `--refresh-after` on the command line, `PERENNIAL_REFRESH_AFTER` in the environment,
/// `refresh-after` in the file.
struct Setting<Value: Sendable>: Sendable {
    let name: String
    let help: String
    /// What the value looks like in `--help`.
    let form: String
    /// The text of the default; `nil`: none.
    let fallback: String?
    /// What `--help` says of the default when it is no fixed text.
    let fallbackNote: String?
    let read: @Sendable (String) throws(Unreadable) -> Value

    init(
        _ name: String, _ form: String, _ help: String, default fallback: String? = nil, note: String? = nil,
        read: @escaping @Sendable (String) throws(Unreadable) -> Value
    ) {
        self.name = name
        self.form = form
        self.help = help
        self.fallback = fallback
        fallbackNote = note
        self.read = read
    }

    /// For `@Option(help:)`.
    var argumentHelp: ArgumentHelp {
        let note = (fallback ?? fallbackNote).map { " (default: \($0))" } ?? ""
        return ArgumentHelp(stringLiteral: "\(help)\(note)").named(form)
    }

    var environmentName: String { "PERENNIAL_" + name.uppercased().replacing("-", with: "_") }
}

extension ArgumentHelp {
    fileprivate func named(_ valueName: String) -> ArgumentHelp {
        var help = self
        help.valueName = valueName
        return help
    }
}

/// Whose limits rule the gateway's entries.
enum FreshnessRule: String, CaseIterable, Sendable {
    case origin, policy
}

/// Every setting there is. `--help`, the environment and the file are all made from this list.
enum Known {
    static let config = Setting("config", "FILE.yaml", "Read settings from this file.") { $0 }
    static let logLevel = Setting("log-level", "L", "trace, debug, info, notice, warning or error.", default: "info") {
        text throws(Unreadable) in
        guard let level = Logger.Level(rawValue: text.lowercased()) else {
            throw Unreadable("“\(text)” is not a log level; write trace, debug, info, notice, warning or error")
        }
        return level
    }

    static let origin = Setting("origin", "URL", "The origin, like https://api.example.com.", read: originAddress)
    static let host = Setting(
        "host", "origin|client|NAME", "What Host the origin is sent: its own, the client's, or this one.",
        default: "origin"
    ) { text throws(Unreadable) in
        switch text {
        case "origin": return SentHost.origin
        case "client": return .client
        default:
            do throws(AddressError) {
                return .name(try HostName(text))
            } catch {
                throw Unreadable("\(error); write origin, client, or a host like www.example.com")
            }
        }
    }
    static let via = Setting(
        "via", "on|off|NAME", "Whether requests to the origin have a Via, and which name is in it.", default: "on"
    ) { text throws(Unreadable) in
        switch text {
        case "on": return ViaRule.on
        case "off": return .off
        default:
            guard let rule = ViaRule(name: text) else {
                throw Unreadable(
                    "“\(text)” can't be a name in Via; write on, off, or a name like cache-1 or cache.example:80")
            }
            return rule
        }
    }
    static let forwarded = Setting(
        "forwarded", "off|x|rfc", "Tell the origin whose requests pass: with X-Forwarded-*, or with Forwarded.",
        default: "off"
    ) { text throws(Unreadable) in
        guard let rule = ForwardedRule(rawValue: text) else {
            throw Unreadable(
                "“\(text)” is no way to tell the origin who a client is; write off, x (X-Forwarded-*) or rfc (Forwarded)"
            )
        }
        return rule
    }
    static let store = Setting(
        "store", "ENGINE", "Where entries live: \(EngineAddress.forms.joined(separator: ", ")).",
        default: "sqlite:perennial.sqlite", read: engineAddress)
    static let queue = Setting(
        "queue", "ENGINE", "Where refresh jobs live: as --store, or celery+redis://….", note: "with the entries",
        read: engineAddress)

    static let listen = Setting(
        "listen", "HOST:PORT|unix:PATH", "Where to serve; port 0 picks one.", default: "127.0.0.1:8080",
        read: listenAddress)
    static let tlsCert = Setting(
        "tls-cert", "FILE",
        "Serve https and HTTP/2 with this certificate and its chain (PEM). May be repeated, or a list with commas: clients get the one for the host they ask for.",
        note: "none", read: files)
    static let tlsKey = Setting(
        "tls-key", "FILE", "The certificate's private key (PEM); of several in their order.", note: "none", read: files)
    static let clientCA = Setting(
        "client-ca", "FILE", "Serve only clients with a certificate that comes from these (PEM).", note: "none"
    ) { $0 }
    static let originCA = Setting(
        "origin-ca", "FILE", "Believe an https origin whose certificate comes from these (PEM), and no other.",
        note: "those the system trusts"
    ) { $0 }
    static let originCert = Setting(
        "origin-cert", "FILE", "Show the origin this certificate and its chain (PEM).", note: "none"
    ) { $0 }
    static let originKey = Setting(
        "origin-key", "FILE", "The private key of --origin-cert (PEM).", note: "none"
    ) { $0 }
    static let admin = Setting(
        "admin", "HOST:PORT|none", "Where to serve health, metrics and the API; keep it private.",
        default: "127.0.0.1:8081", read: optionalListenAddress)

    static let adminToken = Setting(
        "admin-token-file", "FILE", "What the users of the admin API must show: the one line of this file.",
        note: "none"
    ) { text throws(Unreadable) in try token(inFile: text) }

    static let refreshAfter = Setting(
        "refresh-after", "D", "The age from which an entry is served and refreshed behind.",
        note: "1h when the operator's limits rule", read: duration)
    static let expireAfter = Setting(
        "expire-after", "D", "The age from which a reader waits for the origin.",
        note: "7d when the operator's limits rule", read: duration)
    static let staleIfError = Setting(
        "stale-if-error", "D", "Until this age an expired entry may be served when the origin fails.",
        note: "what --expire-after is", read: duration)
    static let freshness = Setting(
        "freshness", "origin|policy", "Whose limits rule: the origin's headers, or those given here.",
        note: "policy once --refresh-after or --expire-after is given, else origin"
    ) { text throws(Unreadable) in
        guard let rule = FreshnessRule(rawValue: text) else {
            throw Unreadable("“\(text)” is not whose limits rule; write origin or policy")
        }
        return rule
    }
    static let clientDirectives = Setting(
        "client-directives", "obey|ignore", "Whether a request's Cache-Control can make the gateway ask the origin.",
        note: "obey when the origin's headers rule, else ignore"
    ) { text throws(Unreadable) in
        guard let rule = ClientDirectives(rawValue: text) else {
            throw Unreadable("“\(text)” is not what to do with clients' directives; write obey or ignore")
        }
        return rule
    }
    static let allow = Setting(
        "allow", "NAME",
        "Lift a protection of shared caches: private, no-store, no-cache, authorization, cookies, set-cookie or refused. May be repeated, or a list with commas.",
        note: "none"
    ) { text throws(Unreadable) in
        do throws(AllowanceError) {
            return try Allowances(names: [text])
        } catch {
            throw Unreadable(error.description)
        }
    }
    static let softTimeout = Setting(
        "soft-timeout", "D", "Serve a usable old value when the origin takes longer than this.", note: "none",
        read: duration)
    static let timeout = Setting(
        "timeout", "D", "How long the origin may take to answer, and how long its answer may pause.", default: "30s",
        read: duration)
    static let fetchTimeout = Setting(
        "fetch-timeout", "D", "How long an answer that is to be stored may take in all.",
        note: "four times --timeout", read: duration)
    static let bodyMemory = Setting(
        "body-memory", "SIZE", "Memory for large bodies on their way into the cache and to slow clients.",
        default: "64MB",
        read: size)
    static let workers = Setting(
        "workers", "N", "Refreshes at a time in this process; 0: leave them to perennial worker.", default: "4"
    ) {
        text throws(Unreadable) in try count(text, atLeast: 0)
    }
    static let threads = Setting("threads", "N", "Threads that serve.", note: "one a processor") {
        text throws(Unreadable) in try count(text, atLeast: 1)
    }
    static let memory = Setting("memory", "SIZE", "The memory tier's limit.", default: "64MB", read: size)
    static let storeLimit = Setting("store-limit", "SIZE", "The store's limit.", default: "10GB", read: size)
    static let maxBody = Setting(
        "max-body", "SIZE", "Answers with a longer body pass through and are not saved.", default: "16MB", read: size)
    static let rate = Setting(
        "rate", "N/s", "Ask the origin at most so often; name somewhat less than it allows.", note: "no limit"
    ) { text throws(Unreadable) in
        let perSecond = try perennial.rate(text)
        do throws(PolicyError) {
            return try OriginGuard.Rate(perSecond: perSecond, burst: max(1, perSecond.rounded(.down)))
        } catch {
            throw Unreadable("\(error)")
        }
    }
    static let concurrency = Setting(
        "concurrency", "N", "Ask the origin at most so many things at a time.", note: "no limit"
    ) { text throws(Unreadable) in try count(text, atLeast: 1) }
    static let longestRetryAfter = Setting(
        "longest-retry-after", "D", "Of an origin's longer Retry-After, obey no more than this.", default: "10m",
        read: duration)
    static let grace = Setting(
        "grace", "D", "How long a stop may take; refreshes that are not done by then are handed back.", default: "10s",
        read: duration)

    static let maxConnections = Setting(
        "max-connections", "N", "Connections from clients at a time; one more gets a 503.", default: "10000"
    ) { text throws(Unreadable) in try count(text, atLeast: 1) }
    static let maxConnectionsPerClient = Setting(
        "max-connections-per-client", "N", "Connections at a time from one address, or /64 of IPv6; 0: no limit.",
        default: "0"
    ) { text throws(Unreadable) in try count(text, atLeast: 0) }
    static let minUploadRate = Setting(
        "min-upload-rate", "SIZE/s", "How fast a request's body must come after 10 seconds; slower gets a 408.",
        default: "500B/s"
    ) { text throws(Unreadable) in
        guard text.hasSuffix("/s") else {
            throw Unreadable("“\(text)” is not a size a second, like 500B/s or 10KB/s; 0B/s is no limit")
        }
        return try size(String(text.dropLast(2)))
    }
    static let purgeFrom = Setting(
        "purge-from", "ADDRESS,…",
        "Answer PURGE from these addresses or ranges, like 127.0.0.1 or 10.0.0.0/8, by removing what is stored.",
        note: "PURGE passes to the origin"
    ) { text throws(Unreadable) in
        var ranges: [AddressRange] = []
        for item in text.split(separator: ",").map({ $0.filter { $0 != " " } }) where !item.isEmpty {
            guard let range = AddressRange(item) else {
                throw Unreadable(
                    "“\(item)” is neither an address nor a range of addresses; write it like 127.0.0.1, 10.0.0.0/8 or ::1"
                )
            }
            ranges.append(range)
        }
        return ranges
    }
    static let drain = Setting(
        "drain", "D", "How long a gateway that is told to stop takes new connections before --grace begins.",
        default: "0", read: duration)
    static let maxRequestBody = Setting(
        "max-request-body", "SIZE", "The largest body of a request; a larger one gets a 413.", note: "no limit",
        read: size)
    static let headTimeout = Setting(
        "head-timeout", "D", "How long a request's line and fields may take; longer gets a 408.", default: "30s",
        read: duration)

    /// What the file may set for a gateway or worker as a whole; a change needs a restart.
    static let fixedKeys = [
        logLevel.name, store.name, queue.name, listen.name, tlsCert.name, tlsKey.name, clientCA.name, admin.name,
        adminToken.name,
        workers.name, threads.name, memory.name, storeLimit.name, grace.name, maxConnections.name, maxRequestBody.name,
        headTimeout.name, bodyMemory.name, maxConnectionsPerClient.name, minUploadRate.name, drain.name,
        purgeFrom.name,
    ]

    /// The names that the file may have.
    static let fileKeys =
        fixedKeys + [
            origin.name, host.name, via.name, forwarded.name, originCA.name, originCert.name, originKey.name,
            fetchTimeout.name, refreshAfter.name,
            expireAfter.name, staleIfError.name, freshness.name,
            clientDirectives.name, allow.name, softTimeout.name, timeout.name, maxBody.name, rate.name,
            concurrency.name, longestRetryAfter.name,
        ]
}

/// Paths, separated by commas.
private func files(_ text: String) throws(Unreadable) -> [String] {
    let files = text.split(separator: ",").map { String($0.drop { $0 == " " }) }.filter { !$0.isEmpty }
    guard !files.isEmpty else { throw Unreadable("“\(text)” names no file") }
    return files
}
