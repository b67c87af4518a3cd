import Foundation
import FuzzKit

/// libFuzzer's entry: one input for the target that `PEYK_FUZZ_TARGET` names.
@c(LLVMFuzzerTestOneInput)
public func fuzzOne(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    Chosen.target.run(Array(UnsafeBufferPointer(start: data, count: size)))
    return 0
}

private enum Chosen {
    static let target: FuzzTarget = {
        let name = ProcessInfo.processInfo.environment["PEYK_FUZZ_TARGET"] ?? ""
        guard let target = FuzzTarget(rawValue: name) else {
            let names = FuzzTarget.allCases.map(\.rawValue).joined(separator: ", ")
            FileHandle.standardError.write(Data("Set PEYK_FUZZ_TARGET to one of \(names).\n".utf8))
            exit(64)
        }
        return target
    }()
}
