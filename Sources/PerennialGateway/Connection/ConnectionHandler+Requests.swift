// Looks at a request's head and decides who answers it.

internal import NIOCore
internal import NIOHTTP1
internal import Perennial
internal import PerennialHTTP

extension ConnectionHandler {
    func dispatch(_ head: HTTPRequestHead, hasEnded: Bool) {
        let isRead = head.method == .GET || head.method == .HEAD
        if let complaint = complaint(about: head) {
            return refuse(complaint.status, complaint.text, detail: "bad-request", isRead: isRead)
        }
        let length = head.headers.first(name: "Content-Length").flatMap { bodyLength($0) } ?? 0
        if length > service.maxRequestBody {
            return refuse(413, tooLarge(service.maxRequestBody), detail: "too-large", isRead: isRead)
        }
        let route: ActiveRoute
        let key: String
        do {
            if head.method == .OPTIONS && head.uri == ClientRequest.serverItself {
                (route, key) = (loop.routes.routes[0], head.uri)
            } else {
                (route, key) = try loop.routes.find(target: head.uri, host: head.headers.first(name: "Host") ?? "")
            }
        } catch {
            let detail = error.kind == .noRoute ? "no-route" : "bad-address"
            return refuse(error.kind.rawValue, error.description, detail: detail, isRead: isRead)
        }
        if hasEnded && isPlain(head) {
            if answerFromMemory(key, head, route, fields: nil, demand: nil) || readStored(head, route, key: key) {
                return
            }
            let fields = HeaderFields(head.headers)
            return begin(head, route, key: key, fields: fields, plan: .cache(nil), hasEnded: true)
        }
        let all = HeaderFields(head.headers)
        let counted = route.countedFields(of: all)
        if hasEnded, let key = route.preflightKey(primary: key, head.method, counted) {
            if answerFromMemory(key, head, route, fields: counted, demand: nil) { return }
            return begin(head, route, key: key, fields: counted, plan: .cache(nil), hasEnded: true)
        }
        let plan = plan(method: head.method, fields: counted, rules: route.rules)
        switch plan {
        case .cache(let demand), .keepNothing(let demand):
            if hasEnded && answerFromMemory(key, head, route, fields: counted, demand: demand) { return }
            begin(head, route, key: key, fields: counted, plan: plan, hasEnded: hasEnded)
        case .pass, .refuse: begin(head, route, key: key, fields: all, plan: plan, hasEnded: hasEnded)
        }
    }

    private func complaint(about head: HTTPRequestHead) -> (status: Int, text: String)? {
        if head.method == .CONNECT { return (501, "This gateway makes no tunnels.") }
        return PerennialHTTP.complaint(
            aboutFields: head.headers.lazy.map { ($0.name, $0.value) }, isOldVersion: head.isOldVersion
        )
        .map { ($0.status, $0.text) }
    }

    /// Hands the request to a task.
    private func begin(
        _ head: HTTPRequestHead, _ route: ActiveRoute, key: String, fields: HeaderFields, plan: Plan, hasEnded: Bool
    ) {
        guard context != nil else { return }
        exchange = newExchange(head, hasEnded: hasEnded)
        var requestBody: RequestBody?
        let tunnel: Tunnel?
        if hasEnded, case .pass = plan, let (wanted, source) = self.tunnel(for: head, fields) {
            tunnel = wanted
            exchange?.body = source
        } else {
            tunnel = nil
        }
        if !hasEnded {
            let bound = NIOLoopBound(self, eventLoop: loop.eventLoop)
            let (body, source) = RequestBody.make(
                length: head.headers.first(name: "Content-Length").flatMap { bodyLength($0) },
                demand: RequestBodyDemand(eventLoop: loop.eventLoop, connection: bound))
            requestBody = body
            exchange?.body = source
        }
        startTask(head, route, key: key, fields: fields, plan: plan, body: requestBody, tunnel: tunnel)
        // Nothing else can be expected here, and HTTP/1.0 knows no interim answers (RFC 9110 §10.1.1).
        if !hasEnded { beginUpload() }
        if !hasEnded && head.headers.contains(name: "Expect") && !head.isOldVersion {
            out.writeStaticString("HTTP/1.1 100 Continue\r\n\r\n")
            writeOut()
        }
    }

    func newExchange(_ head: HTTPRequestHead, hasEnded: Bool) -> Exchange {
        exchanges += 1
        return Exchange(
            isRead: head.method == .GET || head.method == .HEAD, isOldVersion: head.isOldVersion,
            keepsAlive: keepsAlive(head), requestHasEnded: hasEnded, number: exchanges)
    }

    /// Lets a task answer the exchange that has begun.
    func startTask(
        _ head: HTTPRequestHead, _ route: ActiveRoute, key: String, fields: HeaderFields, plan: Plan,
        body: RequestBody?, tunnel: Tunnel? = nil
    ) {
        let bound = NIOLoopBound(self, eventLoop: loop.eventLoop)
        let extras = MessageExtras(originFields: route.route.origin.fields) {
            [loop = loop.eventLoop, number = exchanges] status, fields in
            loop.execute { bound.value.sendInterim(status, fields, exchange: number) }
        }
        exchange?.extras = extras
        let request = ClientRequest(
            route: route, method: head.method, key: key, host: head.namedHost, fields: fields, body: body,
            tunnel: tunnel, extras: extras,
            address: context?.channel.remoteAddress, isSecure: service.isSecure, eventLoop: loop.eventLoop,
            isOldVersion: head.isOldVersion || isStream,
            version: isStream ? "2" : head.isOldVersion ? "1.0" : "1.1")
        let writer = ResponseWriter(eventLoop: loop.eventLoop, connection: bound)
        exchange?.task = service.respond(request, plan, writer)
    }

    /// Whether the connection may stay open behind this request.
    func keepsAlive(_ head: HTTPRequestHead) -> Bool {
        head.isKeepAlive && !loop.isLeaving && !isStream
    }

    /// The exchange with this number has been answered: on to the next one.
    func endExchange(_ number: Int) {
        guard let ended = exchange, ended.number == number else { return }
        exchange = nil
        if ended.isTunnel { loop.counters.tunnelClosed() }
        loop.unbounded[ObjectIdentifier(self)] = nil
        uploadTimer?.cancel()
        uploadTimer = nil
        bodyIsFull = false
        noteProgress()
        if ended.keepsAlive { takeWaiting() } else { closeWhenWritten() }
    }
}

extension HTTPRequestHead {
    /// HTTP/1.0: needs no `Host`, knows no chunks.
    var isOldVersion: Bool { version == .http1_0 || version == .http0_9 }

    /// The host that is asked, and perhaps a port: an absolute address counts in place of `Host` (RFC 9112 §3.2.2).
    /// Empty: none.
    fileprivate var namedHost: String {
        let absolute = uri.utf8.first == UInt8(ascii: "/") ? nil : (try? RequestTarget(uri))?.hostAndPort
        return absolute ?? headers.first(name: "Host") ?? ""
    }
}

/// What a client is told whose request's body is larger than `limit` bytes.
func tooLarge(_ limit: Int) -> String {
    "The request's body is larger than the \(limit) bytes that this gateway takes."
}
