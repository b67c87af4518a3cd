import Foundation
import PeykCRM
import PeykConsole
import PeykModel
import Testing

@Suite("The demo workspace")
struct DemoTests {
    @Test("imports without a refused row")
    func imports() throws {
        let folder = MavenData.root.appending(path: "seeds/demo")
        let target = MemoryTarget()
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
            .filter { $0.hasSuffix(".csv") }.sorted()
        #expect(names.count == 7)
        for name in names {
            let mapping = folder.appending(path: name.replacing(".csv", with: ".json"))
            let outcomes = try ImportPlan.run(
                String(contentsOf: mapping, encoding: .utf8),
                String(contentsOf: folder.appending(path: name), encoding: .utf8), into: target)
            #expect(outcomes.flatMap(\.refused) == [], "\(name)")
        }
        #expect(target.rows["customer"]?.count == 60)
        #expect(target.rows["opportunity"]?.count == 200)
    }
}
