internal import Logging
internal import NIOCore
internal import NIOHTTP1
internal import Perennial
internal import PerennialHTTP

// Responses that go from the origin to one client piece by piece, no faster than the client reads.

extension Responder {
    /// Sends the request to the origin as it is, and its answer back, past the cache.
    /// - Parameter key: the one whose responses could not be stored lately, which is why the request passes. As long as
    ///   that goes on, so do its readers.
    func passThrough(
        _ request: ClientRequest, _ status: CacheStatus, _ writer: ResponseWriter, unstorable key: String? = nil
    ) async {
        let response: OriginClient.Response
        let question: OriginQuestion
        let asked = (wall: now, steady: steady)
        if let key { responses.unstorable.enter(key, now: asked.steady) }
        do {
            question = try OriginQuestion(request.key, request.route.route.address)
            var fields = passedFields(
                of: request.fields, origin: request.route.route.origin, receivedVersion: request.version)
            for claim in claims(of: request) where !fields.contains(claim.name) { fields.add(claim.name, claim.value) }
            response = try await request.route.origin.client.send(
                OriginRequest(
                    method: request.method, host: question.host, target: question.target, fields: fields,
                    body: request.body, extras: request.extras, tunnel: request.tunnel),
                rank: request.tunnel == nil ? .pass(client: request.client) : .tunnel(client: request.client),
                on: request.eventLoop)
        } catch {
            if let key { responses.unstorable.leave(key, now: steady) }
            return await writer.finish(with: failure(error, status, request, isOwn: true))
        }
        if let key { noteAnswer(response, ofUnstorable: key, asked: asked, request) }
        if let invalidation = invalidation(by: response, to: request, question) { await remove(invalidation) }
        var status = status
        status.forwardStatus = response.status
        if response.status == 101, let tunnel = request.tunnel {
            return await carry(tunnel, response, status, writer)
        }
        await stream(
            StreamedHead(status: response.status, fields: response.fields, cacheStatus: status, kind: .pass),
            response.body, to: request, writer)
    }

    /// What the origin is told of the client, for whom alone the answer is.
    private func claims(of request: ClientRequest) -> HeaderFields {
        request.route.route.origin.forwarded.fields(
            address: request.address?.clientText, scheme: request.isSecure ? "https" : "http", host: request.host)
    }

    private func invalidation(
        by response: OriginClient.Response, to request: ClientRequest, _ question: OriginQuestion
    ) -> Invalidation? {
        let routes = responses.routing.now
        let client = (try? HostName(request.host)).map { host in
            (
                host: host,
                keyOfPath: { (path: String) -> String? in
                    guard let (route, key) = try? routes.find(target: path, host: host.description),
                        route.route.origin.url == request.route.route.origin.url
                    else { return nil }
                    return key
                }
            )
        }
        let own = try? HostName(request.route.route.origin.url.authority)
        return Invalidation(
            method: request.method.rawValue, key: request.key, status: response.status, fields: response.fields,
            origin: question.origin, aliases: own.map { [$0] } ?? [], client: client)
    }

    /// Sends on that the origin agrees to another protocol, and then what it says in that, until one side ends.
    private func carry(
        _ tunnel: Tunnel, _ response: OriginClient.Response, _ status: CacheStatus, _ writer: ResponseWriter
    ) async {
        let head = StreamedHead(status: 101, fields: response.fields, cacheStatus: status, kind: .pass)
        var bytes = head.bytes(now: now, isChunked: false)
        bytes.writeStaticString("Connection: upgrade\r\n")
        bytes.writeField("Upgrade", tunnel.name)
        do {
            try await writer.beginTunnel(bytes)
            while let piece = try await response.body.next() { try await writer.write(piece) }
            await writer.end(trailers: [:])
        } catch {
            await writer.abort()
        }
    }

    /// A request has its answer that passed because of what others got for its key.
    private func noteAnswer(
        _ response: OriginClient.Response, ofUnstorable key: String, asked: (wall: Timestamp, steady: Timestamp),
        _ request: ClientRequest
    ) {
        let steady = steady
        let answer = OriginResponse(
            status: response.status, fields: response.fields, requestedAt: asked.wall, receivedAt: now)
        if request.route.fetch.saysUnstorable(answer, length: response.body.length, request: request.fields) {
            responses.unstorable.insert(key, asked: asked.steady, now: steady)
        }
        responses.unstorable.leave(key, now: steady)
    }

    /// What is out of date is gone before the client hears that its request succeeded.
    private func remove(_ invalidation: Invalidation) async {
        do {
            try await responses.remove(invalidation)
        } catch {
            logger.warning(
                "what a request changed could not be removed from the store now; this process serves none of it, and removes it when the store is back",
                metadata: ["keys": "\(invalidation.keys)", "tags": "\(invalidation.tags)", "error": "\(error)"])
        }
    }

    /// Sends a response that may be neither stored nor shared to the reader whose request brought it.
    func send(
        _ response: UnsharedResponse, _ status: CacheStatus, to request: ClientRequest, _ writer: ResponseWriter
    ) async {
        var status = status.with(detail: response.reason)
        status.forwardStatus = response.status
        var head = StreamedHead(status: response.status, fields: response.fields, cacheStatus: status, kind: .miss)
        switch response.body {
        case .stream(let body):
            guard await body.becomePass(of: request.client) else {
                let full = OriginBroken(.connectionLimit)
                return await writer.finish(with: failure(full, status, request, isOwn: true))
            }
            await stream(head, body, to: request, writer)
        case .whole(let body):
            head.fields["Content-Length"] = String(body.readableBytes)
            await writer.finish(
                with: Reply(
                    kind: .miss, status: head.status, head: head.bytes(now: now, isChunked: false),
                    body: request.isHead ? ByteBuffer() : body))
        }
    }

    private func stream(
        _ head: StreamedHead, _ body: OriginBody, to request: ClientRequest, _ writer: ResponseWriter
    ) async {
        let hasBody = !request.isHead && statusHasBody(head.status)
        guard hasBody else {
            return await writer.finish(
                with: Reply(
                    kind: head.kind, status: head.status, head: head.bytes(now: now, isChunked: false),
                    body: ByteBuffer()))
        }
        let hasLength = head.fields.contains("Content-Length")
        let framing: Framing = hasLength ? .length : request.isOldVersion ? .untilClose : .chunked
        do {
            try await writer.begin(
                head.bytes(now: now, isChunked: framing == .chunked), status: head.status, kind: head.kind,
                framing: framing)
            while let piece = try await body.next() {
                try await writer.write(piece)
            }
            await writer.end(trailers: request.extras.responseTrailers)
        } catch {
            // The head has gone: only a broken connection can tell the client that this is not all.
            await writer.abort()
        }
    }
}

/// How a client finds the end of a streamed body (RFC 9112 §6.3).
enum Framing: Sendable {
    case length, chunked, untilClose
}

/// The head of a response that goes through.
private struct StreamedHead {
    var status: Int
    /// As received.
    var fields: HeaderFields
    var cacheStatus: CacheStatus
    var kind: Reply.Kind

    func bytes(now: Timestamp, isChunked: Bool) -> ByteBuffer {
        var head = ByteBuffer()
        head.writeStatusLine(status)
        // 204 has no body and no length of one (RFC 9110 §8.6); a client may look for it all the same.
        let unfit = statusHasBody(status) || status == 304 ? [] : ["content-length"]
        head.writeFields(fieldsForClients(of: fields.removingHopByHop()).removing(unfit))
        if !fields.contains("Date") { head.writeField("Date", HTTPDate.format(now)) }
        if !fields.contains("Age") { head.writeAge(.zero) }
        head.writeVia()
        head.writeField("Cache-Status", cacheStatus.description)
        if isChunked { head.writeStaticString("Transfer-Encoding: chunked\r\n") }
        return head
    }
}
