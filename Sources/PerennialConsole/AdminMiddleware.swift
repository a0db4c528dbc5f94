import HTTPTypes
import Hummingbird
import Logging

/// Turns every error into `{"error": "…"}` and the status that fits.
struct PlainErrors<Context: RequestContext>: RouterMiddleware {
    @concurrent func handle(
        _ request: Request, context: Context, next: @concurrent (Request, Context) async throws -> Response
    ) async throws -> Response {
        do {
            return try await next(request, context)
        } catch let error as AdministrationError {
            let status: HTTPResponse.Status =
                switch error.kind {
                case .notFound: .notFound
                case .invalid: .badRequest
                case .tooLarge: .contentTooLarge
                }
            return try json(["error": error.description], status: status)
        } catch let error as any HTTPResponseError {
            let message = (error as? HTTPError)?.body ?? error.status.reasonPhrase
            return try json(["error": message], status: error.status)
        } catch {
            context.logger.error(
                "An admin request failed", metadata: ["error": "\(error)", "path": "\(request.uri.path)"])
            return try json(["error": "the store can't be asked: \(error)"], status: .serviceUnavailable)
        }
    }
}

/// Lets in only those whom ``Visitor`` welcomes.
struct VisitorCheck<Context: RequestContext>: RouterMiddleware {
    let names: Set<String>

    @concurrent func handle(
        _ request: Request, context: Context, next: @concurrent (Request, Context) async throws -> Response
    ) async throws -> Response {
        let visitor = Visitor(
            host: request.head.authority, origin: request.headers[.origin],
            fetchSite: HTTPField.Name("Sec-Fetch-Site").flatMap { request.headers[$0] })
        if let refusal = visitor.refusal(names: names) { throw HTTPError(.forbidden, message: refusal) }
        return try await next(request, context)
    }
}

/// Lets in only those who show the token.
struct TokenCheck<Context: RequestContext>: RouterMiddleware {
    let token: String

    @concurrent func handle(
        _ request: Request, context: Context, next: @concurrent (Request, Context) async throws -> Response
    ) async throws -> Response {
        let shown = request.headers[.authorization]?.split(separator: " ", maxSplits: 1).map(String.init) ?? []
        guard shown.count == 2, shown[0].lowercased() == "bearer", isEqualInConstantTime(shown[1], token) else {
            var error = HTTPError(.unauthorized, message: "show the token: Authorization: Bearer TOKEN")
            error.headers = [.wwwAuthenticate: #"Bearer realm="perennial""#]
            throw error
        }
        return try await next(request, context)
    }
}

/// How long it takes says nothing on where two texts differ.
private func isEqualInConstantTime(_ left: String, _ right: String) -> Bool {
    let (left, right) = (Array(left.utf8), Array(right.utf8))
    guard left.count == right.count else { return false }
    return zip(left, right).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
}
