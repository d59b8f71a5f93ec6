"""The helper program of the preset kubernetes-node: the real kubectl, and a server that answers as a cluster does."""

import json

import pytest
from network import Server


class Cluster(Server):
    """The API of a cluster with one node and one pod, as far as kubectl asks for it."""

    NODES, NODE = "/api/v1/nodes", "/api/v1/nodes/node-1"
    POD, EVICTION = "/api/v1/namespaces/default/pods/web", "/api/v1/namespaces/default/pods/web/eviction"

    def __init__(self, provider_id="aws:///eu-west-1a/i-0123456789abcdef0", owned=True, cordons=True):
        self.provider_id, self.owned, self.cordons = provider_id, owned, cordons
        self.unschedulable, self.evictions, self.evicted = False, 0, False
        super().__init__(self.reply)

    def reply(self, method, path, _, body):
        status, document = self.answer(method, path.partition("?")[0], body)
        return status, {"content-type": "application/json"}, json.dumps(document).encode()

    def answer(self, method, path, body):
        policy = {"groupVersion": "policy/v1", "version": "v1"}
        eviction = {"name": "pods/eviction", "kind": "Eviction", "namespaced": True, "group": "policy", "version": "v1"}
        kinds = [{"name": "nodes", "kind": "Node"}, {"name": "pods", "kind": "Pod", "namespaced": True}, eviction]
        match method, path:
            case "GET", "/api":
                return 200, {"kind": "APIVersions", "versions": ["v1"]}
            case "GET", "/apis":
                group = {"name": "policy", "versions": [policy], "preferredVersion": policy}
                return 200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]}
            case "GET", "/api/v1":
                return 200, {"kind": "APIResourceList", "groupVersion": "v1", "resources": kinds}
            case "GET", "/apis/policy/v1":
                return 200, {"kind": "APIResourceList", "groupVersion": "policy/v1", "resources": []}
            case "GET", self.NODES:
                return 200, {"kind": "NodeList", "apiVersion": "v1", "items": [self.node()]}
            case "GET", self.NODE:
                return 200, self.node()
            case "PATCH", self.NODE if self.cordons:
                self.unschedulable = bool(json.loads(body)["spec"]["unschedulable"])
                return 200, self.node()
            case "GET", "/api/v1/pods":
                return 200, {"kind": "PodList", "apiVersion": "v1", "items": [] if self.evicted else [self.pod()]}
            case "GET", self.POD if not self.evicted:
                return 200, self.pod()
            case "POST", self.EVICTION:
                return self.evict()
        code, reason = (403, "Forbidden") if method == "PATCH" else (404, "NotFound")
        return code, self.status(code, reason, f"{path} is {reason}")

    def evict(self):
        """A disruption budget holds the pod back once."""
        self.evictions += 1
        if self.evictions == 1:
            return 429, self.status(429, "TooManyRequests", "it would violate the pod's disruption budget")
        self.evicted = True
        return 201, {"kind": "Status", "apiVersion": "v1", "status": "Success"}

    def status(self, code, reason, message):
        failure = {"kind": "Status", "apiVersion": "v1", "status": "Failure"}
        return failure | {"code": code, "reason": reason, "message": message}

    def node(self):
        spec = {"providerID": self.provider_id} | ({"unschedulable": True} if self.unschedulable else {})
        return {"kind": "Node", "apiVersion": "v1", "metadata": {"name": "node-1", "uid": "1"}, "spec": spec}

    def pod(self):
        owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "2", "controller": True}
        about = {"name": "web", "namespace": "default", "uid": "3", "ownerReferences": [owner] if self.owned else []}
        spec = {"nodeName": "node-1", "containers": [{"name": "web"}]}
        return {"kind": "Pod", "apiVersion": "v1", "metadata": about, "spec": spec, "status": {"phase": "Running"}}


class TestKubernetesNode:
    @pytest.fixture
    def cluster(self):
        started = []

        def start(**about):
            started.append(Cluster(**about))
            return started[-1]

        yield start
        for server in started:
            server.close()

    @pytest.fixture
    def order(self, run, tmp_path):
        def order(word, url, *node):
            config = {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "work", "cluster": {"server": url}}],
                "users": [{"name": "drainhook", "user": {}}],
                "contexts": [{"name": "work", "context": {"cluster": "work", "user": "drainhook"}}],
                "current-context": "work",
            }
            (tmp_path / "kubeconfig").write_text(json.dumps(config))
            return run("kubernetes-node", word, tmp_path / "kubeconfig", *node)

        return order

    def test_drain_and_return(self, order, cluster):
        """The node is found by the instance's id. A disruption budget holds its pod back for a while."""
        work = cluster()
        code, told = order("drain", work.url)
        assert code == 0, told
        assert (work.unschedulable, work.evicted, work.evictions) == (True, True, 2)
        code, told = order("return", work.url)
        assert code == 0, told
        assert not work.unschedulable

    def test_cordon_is_refused(self, order, cluster):
        """kubectl evicts the pods all the same, and exits with 0. The node would get new ones."""
        work = cluster(cordons=False)
        code, told = order("drain", work.url)
        assert code == 75, told
        assert work.evicted and "did not change whether node-1 takes pods" in told

    def test_pod_without_controller(self, order, cluster):
        work = cluster(owned=False)
        code, told = order("drain", work.url)
        assert code == 75, told
        assert work.evictions == 0 and "--force" in told

    def test_other_provider(self, order, cluster):
        """The provider id does not name the instance, so the user must name the node."""
        work = cluster(provider_id="k3s://node-1")
        code, told = order("drain", work.url)
        assert (code, work.evictions) == (1, 0), told
        assert "name the node" in told
        code, told = order("drain", work.url, "node-1")
        assert code == 0, told

    def test_unreachable(self, order, cluster):
        work = cluster()
        work.close()
        code, told = order("drain", work.url)
        assert code == 75 and "cannot list the nodes" in told
