import PerennialGateway

/// What is to be shown to clients; `nil`: nothing, for TLS is not spoken.
func serverCertificate(_ chain: Found<String>?, key: Found<String>?) throws(Failure) -> ServerCertificate? {
    switch (chain, key) {
    case (nil, nil): return nil
    case (let chain?, let key?):
        do throws(CertificateError) {
            return try ServerCertificate(certificateFile: chain.value, keyFile: key.value)
        } catch {
            throw Failure(error, in: error.description.contains(key.value) ? key : chain)
        }
    case (let chain?, nil):
        throw Failure(chain.place.code, "\(chain.name) needs the certificate's key; give it with --tls-key FILE")
    case (nil, let key?):
        throw Failure(key.place.code, "\(key.name) needs the key's certificate; give it with --tls-cert FILE")
    }
}

/// What is to be shown to an origin; `nil`: nothing.
func clientCertificate(_ chain: Found<String>?, _ key: Found<String>?) throws(Failure) -> ClientCertificate? {
    switch (chain, key) {
    case (nil, nil): return nil
    case (let chain?, let key?):
        do throws(CertificateError) {
            return try ClientCertificate(certificateFile: chain.value, keyFile: key.value)
        } catch {
            throw Failure(error, in: error.description.contains(key.value) ? key : chain)
        }
    case (let chain?, nil):
        throw Failure(chain.place.code, "\(chain.name) needs the certificate's key; give it with --origin-key FILE")
    case (nil, let key?):
        throw Failure(key.place.code, "\(key.name) needs the key's certificate; give it with --origin-cert FILE")
    }
}

/// The certificates that an origin's must come from.
func authorities(_ file: Found<String>) throws(Failure) -> TrustedAuthorities {
    do throws(CertificateError) {
        return try TrustedAuthorities(file: file.value)
    } catch {
        throw Failure(error, in: file)
    }
}

extension Failure {
    fileprivate init(_ error: CertificateError, in setting: Found<String>) {
        self.init(error.kind == .unreadable ? .noInput : .data, "\(setting.name): \(error)")
    }
}
