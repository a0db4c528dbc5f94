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
            return try json(
                ["error": error.description], status: error.kind == .notFound ? .notFound : .badRequest)
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
