import Foundation
import HTTPTypes
import Hummingbird
public import Perennial
public import PerennialHTTP

/// What the origin answered to another program, such as a Celery worker, which hands it over to be kept:
/// `PUT /api/entries/KEY?status=200&fence=GENERATION&lease=TOKEN`.
///
/// KEY is the entry's key as jobs carry it, percent-encoded (RFC 3986 §2.1). The body is that of the answer. The fields of the
/// answer go with the request under their own names: `Content-Type`, `Content-Encoding`, `Content-Language`, `ETag`,
/// `Last-Modified`, `Cache-Control`, `Expires`, `Vary`; others are left out.
public struct HandedOver: Sendable {
    /// The longest body, in bytes.
    static let maxBody = 64 << 20

    public var key: String
    /// The answer's status code. Default: 200.
    public var status: Int
    public var fields: HeaderFields
    public var body: [UInt8]
    /// The generation that the job was for: if the entry was written since, nothing is saved. Default: saves always.
    public var fence: Generation?
    /// The lease that the work was done under, which ends.
    public var lease: LeaseToken?

    private static let fieldNames = [
        "Content-Type", "Content-Encoding", "Content-Language", "ETag", "Last-Modified", "Cache-Control", "Expires",
        "Vary",
    ]

    init(_ request: Request) async throws {
        guard let key = request.uri.path.dropFirst("/api/entries/".count).removingPercentEncoding, !key.isEmpty else {
            throw AdministrationError(.invalid, "which entry? PUT /api/entries/KEY, the key percent-encoded")
        }
        self.key = key
        status = 200
        if let text = query("status", request) {
            guard let number = Int(text), (200...599).contains(number) else {
                throw AdministrationError(.invalid, "status is “\(text)”; it must be from 200 to 599")
            }
            status = number
        }
        if let text = query("fence", request) {
            guard let number = Int64(text), number >= 0 else {
                throw AdministrationError(.invalid, "fence is “\(text)”; it must be the number of a generation")
            }
            fence = Generation(number)
        }
        lease = query("lease", request)
        var fields = HeaderFields()
        for name in Self.fieldNames {
            for value in HTTPField.Name(name).map({ request.headers[values: $0] }) ?? [] {
                fields.add(name, value)
            }
        }
        self.fields = fields
        let collected: ByteBuffer
        do {
            collected = try await request.body.collect(upTo: Self.maxBody)
        } catch {
            throw HTTPError(.contentTooLarge, message: "the body has more than \(Self.maxBody >> 20) MiB")
        }
        body = Array(collected.readableBytesView)
    }
}
